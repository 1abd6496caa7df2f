//! An application as people name it, where a log is asked that may know it when nothing else does.

use access::Name;

use super::error::ApiError;
use crate::AppState;

/// `app` or `app.site`.
pub(super) fn reference(text: &str) -> Result<(Name, Option<Name>), ApiError> {
    let (name, site) = match text.split_once('.') {
        Some((name, site)) => (name, Some(site)),
        None => (text, None),
    };
    let read = |text: &str| {
        let wrong = |error| ApiError::invalid(format!("application: {error}"));
        text.parse::<Name>().map_err(wrong)
    };
    Ok((read(name)?, site.map(read).transpose()?))
}

/// The host labels by which a log may know an application, where one is asked for. It knows nothing else of it, so of one that
/// is gone each site there is may have been its own.
pub(super) async fn labels(
    state: &AppState,
    application: Option<&str>,
) -> Result<Option<Vec<String>>, ApiError> {
    let Some(application) = application else { return Ok(None) };
    let (name, site) = reference(application)?;
    if let Some(site) = site {
        return Ok(Some(vec![format!("{name}-{site}")]));
    }
    let there = state.store.applications().await?;
    let named: Vec<_> =
        there.iter().filter(|row| row.name == name).map(|row| row.label.clone()).collect();
    if !named.is_empty() {
        return Ok(Some(named));
    }
    let sites = state.store.sites().await?.into_iter();
    let once = sites.map(|site| format!("{name}-{}", site.name));
    let once = once.filter(|label| there.iter().all(|row| row.label != *label));
    Ok(Some([name.to_string()].into_iter().chain(once).collect()))
}
