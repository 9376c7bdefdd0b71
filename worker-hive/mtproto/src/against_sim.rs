//! Accounts against a simulated data-centre, where the inside must be reached to break it.

use crate::sim_rig::{MESSAGE, Rig, SIZE, until};
use crate::{Ask, CallFault, LocateFault, MAX_CHUNK, MessageRef};
use std::sync::Arc;
use std::time::Duration;
use telegram_sim::{Account as SimAccount, Document, Fault, Reachability, Rule, Shape, When};

#[tokio::test]
async fn dead_runners_are_rebuilt() {
    for dc in [2, 4] {
        let rig = Rig::start(SimAccount::bot("bot", 7001), dc);
        let location = rig.account.locate(MESSAGE).await.unwrap();
        for _ in 0..3 {
            rig.exact(&location, 0, MAX_CHUNK).await;
            rig.account.datacentre(dc).kill_runners().await;
        }
        rig.exact(&location, 2 * 1024 * 1024, 1024).await;
        assert!(rig.sim.counters().snapshot().calls("auth.exportAuthorization") <= 1);
    }
}

#[tokio::test]
async fn the_largest_chunk_and_all_rules_about_chunks_hold() {
    let rig = Rig::start(SimAccount::bot("bot", 7001), 2);
    let location = rig.account.locate(MESSAGE).await.unwrap();
    for (offset, limit) in [(0, 1024), (1024, 3072), (4096, 4096), (512 * 1024, MAX_CHUNK), (64 * 1024, 448 * 1024)] {
        rig.exact(&location, offset, limit).await;
    }
    assert!(
        rig.account.get_chunk(&location, 8 << 20, 4096, &Ask::new(false)).await.unwrap().is_empty(),
        "past the end"
    );
    let bad = [(0, 0), (1, 1024), (0, 1000), (0, MAX_CHUNK + 1024), (1_047_552, 2048)];
    for (offset, limit) in bad {
        assert!(matches!(
            rig.account.get_chunk(&location, offset, limit, &Ask::new(false)).await,
            Err(CallFault::Other(_))
        ));
    }
    assert_eq!(rig.sim.counters().snapshot().calls("upload.getFile"), 6, "what is against the rules is not sent");
}

#[tokio::test]
async fn many_at_once_export_the_authorization_once_even_when_the_import_is_lost() {
    let rig = Rig::start(SimAccount::bot("bot", 7001), 4);
    let location = rig.account.locate(MESSAGE).await.unwrap();
    rig.sim.faults().add(Rule::on("auth.importAuthorization", Fault::Drop).when(When::Nth(1)));
    let calls = (0..8_u64).map(|n| {
        let (account, location) = (Arc::clone(&rig.account), location.clone());
        tokio::spawn(async move { account.get_chunk(&location, n * 4096, 4096, &Ask::new(false)).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    assert_eq!(rig.sim.counters().snapshot().calls("auth.exportAuthorization"), 1);
}

#[tokio::test]
async fn a_forgotten_authorization_is_carried_again_but_not_in_a_loop() {
    let rig = Rig::start(SimAccount::bot("bot", 7001), 4);
    let location = rig.account.locate(MESSAGE).await.unwrap();
    rig.exact(&location, 0, 4096).await;
    rig.sim.faults().add(Rule::on("upload.getFile", Fault::KeyUnregistered).when(When::First(1)));
    rig.exact(&location, 0, 4096).await;
    rig.sim.faults().clear();
    rig.sim.faults().add(Rule::on("upload.getFile", Fault::KeyUnregistered));
    for _ in 0..5 {
        assert_eq!(rig.account.get_chunk(&location, 0, 4096, &Ask::new(false)).await, Err(CallFault::Unauthorized));
    }
    assert_eq!(rig.sim.counters().snapshot().calls("auth.exportAuthorization"), 3);
}

#[tokio::test]
async fn what_is_not_there_is_told_apart() {
    let rig = Rig::start(SimAccount::user("user", 7002), 2);
    for (chat_id, message_id, expected) in [
        (MESSAGE.chat_id, 99, LocateFault::NoMessage),
        (-1_000_000_000_777, 1, LocateFault::NoChat),
        (-5, 1, LocateFault::NoChat),
        (7002, 1, LocateFault::NoChat),
        (0, 1, LocateFault::NoChat),
        (i64::MIN, 1, LocateFault::NoChat),
    ] {
        let found = rig.account.locate(MessageRef { chat_id, message_id }).await;
        assert_eq!(found.unwrap_err(), expected, "{chat_id}/{message_id}");
    }
    assert_eq!(
        rig.sim.counters().snapshot().calls("messages.getDialogs"),
        1,
        "a chat not found is not looked for again at once"
    );
    rig.sim.world().ban("user", None).unwrap();
    assert!(matches!(rig.account.locate(MESSAGE).await, Err(LocateFault::Call(CallFault::Banned(_)))));
}

#[tokio::test]
async fn a_narrow_account_serves_all_its_streams_without_a_time_out() {
    const CHUNK: u32 = 128 * 1024;
    let rig = Rig::start(SimAccount::bot("bot", 7001), 2);
    let location = rig.account.locate(MESSAGE).await.unwrap();
    rig.exact(&location, 5 << 20, 4096).await;
    until("both connections", || rig.accepted() == 2).await;
    rig.sim.set_shape(Shape { account_bytes_per_second: 1 << 20, ..Shape::default() });
    // Three streams, twelve chunks each: three times as many bytes as the line carries within the time-out of a call.
    let streams = (0..3_u64).flat_map(|stream| rig.ask(&location, stream * 12 * u64::from(CHUNK), 12, CHUNK));
    for chunk in streams.collect::<Vec<_>>() {
        assert_eq!(chunk.await.unwrap().unwrap().len(), 128 * 1024);
    }
    let counts = rig.sim.counters().snapshot();
    let asked: Vec<_> = counts.chunks.iter().filter(|chunk| chunk.limit == u64::from(CHUNK)).collect();
    assert_eq!(asked.len(), 36);
    assert!(asked.iter().all(|chunk| (chunk.asked, chunk.served) == (1, 1)), "{asked:?}");
    assert_eq!(rig.accepted(), 2, "no connection is given up");
}

#[tokio::test]
async fn what_a_cancelled_asker_asked_for_counts_until_it_is_there() {
    let rig = Rig::start(SimAccount::bot("bot", 7001), 2);
    let location = rig.account.locate(MESSAGE).await.unwrap();
    rig.sim.faults().add(Rule::on("upload.getFile", Fault::Delay(500)));
    let calls = rig.ask(&location, 0, 3, 4096);
    until("three calls", || rig.calls("upload.getFile") == 3).await;
    for call in calls {
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
    }
    assert_eq!(rig.account.datacentre(2).in_flight(), 3);
    until("the answers", || rig.account.datacentre(2).in_flight() == 0).await;
}

#[tokio::test]
async fn a_wait_that_a_cancelled_asker_was_told_is_obeyed() {
    let rig = Rig::start(SimAccount::bot("bot", 7001), 2);
    let location = rig.account.locate(MESSAGE).await.unwrap();
    rig.exact(&location, 0, 4096).await;
    let window = rig.account.datacentre(2).report().window;
    rig.sim.set_shape(Shape { rtt_ms: 300, ..Shape::default() });
    rig.sim.faults().add(Rule::on("upload.getFile", Fault::FloodWait(30)));
    let call = rig.ask(&location, 0, 1, 4096).remove(0);
    until("the call", || rig.calls("upload.getFile") == 2).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled() && rig.account.rests_for().is_none());
    until("the answer", || rig.account.datacentre(2).in_flight() == 0).await;
    assert!(rig.account.rests_for().is_some_and(|left| left > Duration::from_secs(20)));
    assert!(rig.account.datacentre(2).report().window < window);
    let next = rig.account.get_chunk(&location, 4096, 4096, &Ask::new(false)).await;
    assert_eq!(next, Err(CallFault::Resting { until: rig.account.rests_until().unwrap() }));
    assert_eq!(rig.calls("upload.getFile"), 2);
}

#[tokio::test]
async fn a_call_that_waited_for_a_connection_obeys_what_was_told_meanwhile() {
    for told in [false, true] {
        let rig = Rig::start(SimAccount::bot("bot", 7001), 2);
        let location = rig.account.locate(MESSAGE).await.unwrap();
        until("both connections", || rig.account.warm_connections(2) == 2).await;
        // So that being back takes a while.
        rig.sim.set_shape(Shape { rtt_ms: 100, ..Shape::default() });
        rig.account.datacentre(2).kill_runners().await;
        until("the end of both", || rig.account.warm_connections(2) == 0).await;
        let call = rig.ask(&location, 0, 1, 4096).remove(0);
        tokio::task::yield_now().await;
        assert!(rig.account.warm_connections(2) == 0 && !call.is_finished(), "it waits");
        if told {
            rig.account.rest(Duration::from_secs(30));
        }
        let answer = call.await.unwrap();
        assert_eq!(matches!(answer, Err(CallFault::Resting { .. })), told, "{answer:?}");
        assert_eq!(rig.calls("upload.getFile"), u64::from(!told));
    }
}

#[tokio::test]
async fn a_lost_answer_gives_its_place_back() {
    let rig = Rig::start(SimAccount::bot("bot", 7001), 2);
    let location = rig.account.locate(MESSAGE).await.unwrap();
    rig.sim.faults().add(Rule::on("upload.getFile", Fault::Silence).when(When::First(30)));
    for call in rig.ask(&location, 0, 8, 4096) {
        assert_eq!(call.await.unwrap().unwrap_err(), CallFault::Timeout);
    }
    rig.sim.faults().clear();
    until("the places", || rig.account.datacentre(2).in_flight() == 0).await;
    rig.exact(&location, 0, 4096).await;
}

#[tokio::test]
async fn viewers_who_leave_cost_no_export() {
    let rig = Rig::start(SimAccount::bot("bot", 7001), 4);
    let location = rig.account.locate(MESSAGE).await.unwrap();
    rig.sim.faults().add(Rule::on("auth.importAuthorization", Fault::Delay(600)));
    for _ in 0..5 {
        let exports = rig.calls("auth.importAuthorization");
        let call = rig.ask(&location, 0, 1, 4096).remove(0);
        until("the import", || exports > 0 || rig.calls("auth.importAuthorization") > 0).await;
        call.abort();
    }
    rig.exact(&location, 0, 4096).await;
    assert_eq!((rig.calls("auth.exportAuthorization"), rig.calls("auth.importAuthorization")), (1, 1));
}

#[tokio::test]
async fn an_import_whose_answer_is_lost_is_believed() {
    for lost in [1, 3] {
        let rig = Rig::start(SimAccount::bot("bot", 7001), 4);
        let location = rig.account.locate(MESSAGE).await.unwrap();
        rig.sim.faults().add(Rule::on("auth.importAuthorization", Fault::Truncate).when(When::First(1)));
        rig.sim.faults().add(Rule::on("auth.importAuthorization", Fault::Drop).when(When::First(lost)));
        let mut first = rig.account.get_chunk(&location, 0, 4096, &Ask::new(false)).await;
        while matches!(first, Err(CallFault::Dropped(_) | CallFault::Timeout)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            first = rig.account.get_chunk(&location, 0, 4096, &Ask::new(false)).await;
        }
        first.unwrap();
        assert_eq!(rig.calls("auth.exportAuthorization"), 1);
    }
}

#[tokio::test]
async fn trouble_with_one_chunk_hurts_no_other() {
    let rig = Rig::start(SimAccount::bot("bot", 7001), 2);
    let location = rig.account.locate(MESSAGE).await.unwrap();
    rig.exact(&location, 0, 4096).await;
    until("both connections", || rig.accepted() == 2).await;
    rig.sim.faults().add(Rule::on("upload.getFile", Fault::Delay(400)).offset(1 << 20, 2 << 20));
    for (offset, code, name) in [(0, 500, "INTERDC_4_CALL_ERROR"), (4096, -503, "Timeout")] {
        rig.sim.faults().add(Rule::on("upload.getFile", Fault::Error(code, name.into())).offset(offset, offset + 1));
    }
    let others = rig.ask(&location, 1 << 20, 2, 4096);
    for offset in [0, 4096, 0, 4096] {
        let answer = rig.account.get_chunk(&location, offset, 4096, &Ask::new(false)).await;
        assert!(matches!(answer, Err(CallFault::Dropped(_))), "{answer:?}");
    }
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert_eq!(rig.accepted(), 2);
    let forgot = Fault::Error(400, "CONNECTION_NOT_INITED".into());
    rig.sim.faults().add(Rule::on("upload.getFile", forgot).offset(8192, 8193).when(When::First(1)));
    rig.exact(&location, 8192, 4096).await;
    until("a connection that begins again", || rig.accepted() == 3).await;
}

#[tokio::test]
async fn an_account_that_was_told_to_wait_waits_with_everything() {
    let rig = Rig::start(SimAccount::user("user", 7002), 2);
    rig.sim.faults().add(Rule::on("messages.getDialogs", Fault::FloodWait(30)));
    let told = rig.account.locate(MESSAGE).await.unwrap_err();
    assert!(matches!(told, LocateFault::Call(CallFault::Flood { seconds: 30, .. })), "{told}");
    let until = rig.account.rests_until().unwrap();
    for _ in 0..5 {
        // Said once by Telegram. What the account says itself is not another wait, and ends when that one does.
        let found = rig.account.locate(MESSAGE).await.unwrap_err();
        let LocateFault::Call(CallFault::Resting { until: end }) = found else { panic!("{found}") };
        assert!(end >= until && end < until + Duration::from_secs(1), "{:?}", end - until);
        assert_eq!(rig.account.bring_up().await, Err(CallFault::Resting { until }));
    }
    assert_eq!((rig.calls("messages.getDialogs"), rig.calls("users.getUsers")), (1, 0));
}

#[tokio::test]
async fn dialogs_that_could_not_be_read_are_no_absence_and_not_asked_for_again_at_once() {
    let rig = Rig::start(SimAccount::user("user", 7002), 2);
    rig.sim.faults().add(Rule::on("messages.getDialogs", Fault::Error(500, "INTERNAL".into())));
    for _ in 0..5 {
        let found = rig.account.locate(MESSAGE).await.unwrap_err();
        assert!(matches!(found, LocateFault::Call(CallFault::Dropped(_))), "{found}");
    }
    assert_eq!(rig.calls("messages.getDialogs"), 1);
}

#[tokio::test]
async fn viewers_who_leave_do_not_begin_the_dialogs_again() {
    let rig = Rig::start(SimAccount::user("user", 7002), 2);
    rig.sim.faults().add(Rule::on("messages.getDialogs", Fault::Delay(400)));
    for _ in 0..3 {
        let account = Arc::clone(&rig.account);
        let viewer = tokio::spawn(async move { account.locate(MESSAGE).await });
        until("the dialogs", || rig.calls("messages.getDialogs") > 0).await;
        viewer.abort();
    }
    rig.account.locate(MESSAGE).await.unwrap();
    assert_eq!(rig.calls("messages.getDialogs"), 1);
}

#[tokio::test]
async fn a_silent_data_centre_keeps_nobody_past_the_deadline() {
    let rig = Rig::start(SimAccount::bot("bot", 7001), 4);
    let location = rig.account.locate(MESSAGE).await.unwrap();
    rig.sim.set_reachability(4, Reachability::Silent);
    // A connect is given up after 8 s; the call has 1.5 s.
    let answer =
        tokio::time::timeout(Duration::from_secs(5), rig.account.get_chunk(&location, 0, 4096, &Ask::new(false))).await;
    assert_eq!(answer.unwrap(), Err(CallFault::Timeout));
    assert_eq!(rig.calls("auth.exportAuthorization"), 0);
}

#[tokio::test]
async fn a_replaced_document_has_the_date_of_its_edit() {
    let rig = Rig::start(SimAccount::bot("bot", 7001), 2);
    let before = rig.account.locate(MESSAGE).await.unwrap();
    rig.sim.world().replace_document(MESSAGE.chat_id, 1, Document::generated("g.mkv", 2, SIZE, 6)).unwrap();
    let after = rig.account.locate(MESSAGE).await.unwrap();
    assert!(before.identity != after.identity && before.date < after.date, "{before:?} {after:?}");
}
