//! The bucket's weather: what becomes of requests from now on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ebbtide_testkit::Random;
use ebbtide_testkit::s3_server::{Fault, S3Server};

/// What becomes of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    /// Nothing is wrong.
    Fair,
    /// Each takes some milliseconds longer.
    Slow,
    /// A third of them is refused.
    Failing,
    /// A third of them is throttled.
    Throttled,
    /// A third of the connections is broken before the request is served.
    Broken,
    /// A third of the answers is lost, after the request was served.
    Lost,
    /// A third of what is read ends too early.
    Cut,
    /// All of it by turns.
    Storm,
}

impl Weather {
    pub(super) fn random(random: &mut Random) -> Weather {
        *random.choose(&[
            Weather::Fair,
            Weather::Slow,
            Weather::Failing,
            Weather::Throttled,
            Weather::Broken,
            Weather::Lost,
            Weather::Cut,
            Weather::Storm,
        ])
    }

    fn fault(self, random: &mut Random) -> Option<Fault> {
        let bad = random.one_in(3);
        match self {
            Weather::Fair => None,
            Weather::Slow => Some(Fault::Late(Duration::from_millis(random.between(1, 20).into()))),
            _ if !bad => None,
            Weather::Failing => Some(Fault::Refused(500, "InternalError")),
            Weather::Throttled => Some(Fault::Refused(503, "SlowDown")),
            Weather::Broken => Some(Fault::Dropped),
            Weather::Lost => Some(Fault::AnswerLost),
            Weather::Cut => {
                let bytes = random.below(2000);
                Some(Fault::CutOff(usize::try_from(bytes).expect("a few bytes")))
            }
            Weather::Storm => Weather::random(random).storm(random),
        }
    }

    fn storm(self, random: &mut Random) -> Option<Fault> {
        if self == Weather::Storm { None } else { self.fault(random) }
    }
}

/// Changes the weather of a server.
pub(super) struct Forecast {
    weather: Arc<Mutex<Weather>>,
    faults: Arc<AtomicU64>,
}

/// Puts a server under the weather. What becomes of a request depends on the seed and on how many came before.
pub(super) fn forecast(server: &S3Server, weather: Weather, seed: u64) -> Forecast {
    let forecast = Forecast { weather: Arc::new(Mutex::new(weather)), faults: Arc::default() };
    let (weather, faults) = (Arc::clone(&forecast.weather), Arc::clone(&forecast.faults));
    let mut random = Random::new(seed);
    server.script(move |_| {
        let fault = weather.lock().unwrap().fault(&mut random);
        faults.fetch_add(u64::from(fault.is_some()), Ordering::Relaxed);
        fault
    });
    forecast
}

impl Forecast {
    /// From now on it is like this.
    pub(super) fn change(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    /// How many requests went wrong.
    pub(super) fn count(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }
}
