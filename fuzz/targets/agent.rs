//! A line that an agent is asked, and one that it answers: what is read is written again as the same.

#![no_main]

use ioduel::agent::{Answer, Reply, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    if let Ok(request) = serde_json::from_str::<Request>(line) {
        let _ = request.to_string();
        if let Request::Serve { config, .. } = &request {
            let _ = config.framing.check();
        }
        let again = serde_json::to_string(&request).expect("what was read can be written");
        assert_eq!(serde_json::from_str::<Request>(&again).expect("and read again"), request);
    }
    let Ok(reply) = serde_json::from_str::<Reply>(line) else { return };
    let again = serde_json::to_string(&reply).expect("what was read can be written");
    // What is no number is written as null, and not read again.
    if let Ok(same) = serde_json::from_str::<Reply>(&again) {
        assert_eq!(serde_json::to_string(&same).expect("it was written before"), again);
    }
    if let Answer::Drove(run) = reply.answer {
        let _ = (run.messages_per_second(), run.sessions_per_second(), run.little_departure(64, 8));
        let mut both = (*run).clone();
        both.merge(&run);
    }
});
