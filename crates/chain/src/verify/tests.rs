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
