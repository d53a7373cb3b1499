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
    if let Ok(Reply { answer: Answer::Drove(run), .. }) = serde_json::from_str(line) {
        let _ = (run.messages_per_second(), run.sessions_per_second(), run.little_departure(64, 8));
        let mut both = (*run).clone();
        both.merge(&run);
    }
});
