use super::*;

#[test]
fn an_untouched_chain_is_intact_from_anywhere() {
    let (rows, head) = chain(1..=9);
    assert_eq!(damages(&rows, head, 9), []);
    assert_eq!(damages(&[], Head::START, 0), []);
    let mut part = Verifier::part();
    assert!(rows[3..].iter().all(|row| part.take(&row.record(), row.hash).is_none()));
    let mut rest = Verifier::after(Head { seq: 3, hash: rows[2].hash });
    assert!(rows[3..].iter().all(|row| rest.take(&row.record(), row.hash).is_none()));
    assert_eq!(rest.at(), head);
}

#[test]
fn a_number_that_was_never_given_is_no_gap() {
    let (rows, head) = chain([2, 3, 7]);
    assert_eq!(damages(&rows, head, 7), []);
}

#[test]
fn a_changed_record_is_told_once() {
    let (mut rows, head) = chain(1..=9);
    rows[4].event = "other".to_owned();
    assert_eq!(damages(&rows, head, 9), [Damage::one(5, Kind::Changed)]);
    // With a hash that fits it, the next one no longer fits.
    rows[4].hash = rows[3].hash.then(&rows[4].record());
    assert_eq!(damages(&rows, head, 9), [Damage::one(6, Kind::Changed)]);
}

#[test]
fn what_was_taken_out_is_told_with_its_numbers() {
    let (mut rows, head) = chain(1..=9);
    rows.drain(3..5);
    assert_eq!(damages(&rows, head, 9), [Damage { seq: 4, last: 5, kind: Kind::Missing }]);
    let (mut rows, head) = chain(1..=9);
    rows.remove(0);
    assert_eq!(damages(&rows, head, 9), [Damage { seq: 1, last: 1, kind: Kind::Missing }]);
    let (mut rows, head) = chain(1..=9);
    rows.truncate(6);
    assert_eq!(damages(&rows, head, 6), [Damage { seq: 7, last: 9, kind: Kind::CutOff }]);
    assert_eq!(damages(&[], head, 0), [Damage { seq: 1, last: 9, kind: Kind::CutOff }]);
}

#[test]
fn records_that_changed_places_are_told() {
    let (mut rows, head) = chain(1..=9);
    rows.swap(3, 4);
    let told = damages(&rows, head, 9);
    assert!(told.contains(&Damage::one(4, Kind::OutOfOrder)), "{told:?}");
    // In a table the numbers stay in order, so it is the rest that changes places.
    let (mut rows, head) = chain(1..=9);
    let seqs = (rows[3].seq, rows[4].seq);
    rows.swap(3, 4);
    (rows[3].seq, rows[4].seq) = seqs;
    let told = damages(&rows, head, 9);
    assert_eq!(told[0], Damage::one(4, Kind::Changed));
}

#[test]
fn a_chain_written_anew_does_not_end_as_it_was_vouched_for() {
    let (rows, head) = chain(1..=9);
    let mut forged = rows.clone();
    forged[4].event = "other".to_owned();
    for index in 4..9 {
        forged[index].hash = forged[index - 1].hash.then(&forged[index].record());
    }
    assert_eq!(damages(&forged, head, 9), [Damage::one(9, Kind::Rewritten)]);
    let end = Head { seq: 9, hash: forged[8].hash };
    assert_eq!(walk(&forged).finish(end, 9, false), [Damage::one(9, Kind::Head)]);
    assert_eq!(damages(&rows, head, 10), [Damage::one(10, Kind::Inserted)]);
}

#[test]
fn a_log_that_was_cut_or_written_anew_by_who_has_the_key_is_not_as_it_was_noted() {
    let (rows, head) = chain(1..=9);
    let with = |rows: &[Row], head: Head, noted: Head| {
        let mut verifier = Verifier::whole().noted(Some(noted));
        let taken = rows.iter().filter_map(|row| verifier.take(&row.record(), row.hash));
        let mut damages: Vec<_> = taken.collect();
        damages.extend(verifier.finish(head, head.seq, true));
        damages
    };
    let noted = Head { seq: 7, hash: rows[6].hash };
    assert_eq!(with(&rows, head, noted), []);
    // Cut before it, cut and written on, or changed and written anew: each vouched for again.
    let cut = Head { seq: 5, hash: rows[4].hash };
    assert_eq!(with(&rows[..5], cut, noted), [Damage::one(7, Kind::Noted)]);
    let mut forged = rows.clone();
    for index in 5..9 {
        forged[index].event = "other".to_owned();
        forged[index].hash = forged[index - 1].hash.then(&forged[index].record());
    }
    let end = Head { seq: 9, hash: forged[8].hash };
    assert_eq!(with(&forged, end, noted), [Damage::one(7, Kind::Noted)]);
    // A number that the new chain does not give.
    let (rows, head) = chain([1, 2, 8]);
    assert_eq!(with(&rows, head, noted), [Damage::one(7, Kind::Noted)]);
    // In a part that begins after it, it is not looked for.
    let rest = Verifier::after(cut).noted(Some(Head { seq: 5, ..noted }));
    assert_eq!(rest.finish(cut, 5, true), []);
}

#[test]
fn a_log_that_was_cut_while_it_was_walked_is_found() {
    let (rows, _) = chain(1..=9);
    let (walked, end) = (walk(&rows), Head { seq: 6, hash: rows[5].hash });
    assert_eq!(walked.finish(end, 6, true), [Damage { seq: 7, last: 9, kind: Kind::CutOff }]);
}

#[derive(Clone)]
struct Row {
    seq: u64,
    event: String,
    hash: Hash,
}

impl Row {
    fn record(&self) -> Record<'_> {
        let (action, session) = ("authn.failed", None);
        Record { seq: self.seq, at_ms: 7, action, session, user: None, event: &self.event }
    }
}

fn chain(seqs: impl IntoIterator<Item = u64>) -> (Vec<Row>, Head) {
    let mut head = Head::START;
    let mut rows = Vec::new();
    for seq in seqs {
        let mut row = Row { seq, event: format!("event {seq}"), hash: Hash::START };
        row.hash = head.hash.then(&row.record());
        head = Head { seq, hash: row.hash };
        rows.push(row);
    }
    (rows, head)
}

fn walk(rows: &[Row]) -> Verifier {
    let mut verifier = Verifier::whole();
    for row in rows {
        verifier.take(&row.record(), row.hash);
    }
    verifier
}

fn damages(rows: &[Row], head: Head, last: u64) -> Vec<Damage> {
    let mut verifier = Verifier::whole();
    let mut damages: Vec<_> =
        rows.iter().filter_map(|row| verifier.take(&row.record(), row.hash)).collect();
    damages.extend(verifier.finish(head, last, true));
    damages
}
