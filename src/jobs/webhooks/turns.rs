//! Assigns delivery workers (lanes) to endpoints when there are fewer workers than due deliveries.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::domain::id::WebhookEndpointId;
use crate::ops::courier::{Due, more_lanes};

/// How long a worker sends to one endpoint. It finishes its current message after that.
pub(super) const TURN: Duration = Duration::from_secs(10);

/// How much later the next turn of an endpoint comes while its deliveries fail.
const HANDICAP: Duration = Duration::from_secs(60);

/// Returns the endpoints that get one more worker each, in order, if there are at most `most` workers in total. Every
/// endpoint gets a first worker before any gets a second. Among equals, the endpoint with the oldest last turn comes
/// first. Half of the workers are reserved for endpoints that have none, so that a free one is nearly always available.
pub(super) fn share_out(
    due: &[Due],
    busy: &HashMap<WebhookEndpointId, usize>,
    last_turns: &HashMap<WebhookEndpointId, Instant>,
    most: usize,
) -> Vec<WebhookEndpointId> {
    let mut wanted: Vec<_> = due
        .iter()
        .flat_map(|due| {
            let running = busy.get(&due.id).copied().unwrap_or_default();
            let handicap = if due.is_failing { HANDICAP } else { Duration::ZERO };
            let last_turn = last_turns.get(&due.id).map(|began| *began + handicap);
            (0..more_lanes(*due, running)).map(move |more| (running + more, last_turn, due.id))
        })
        .collect();
    wanted.sort_by_key(|(before, last_turn, _)| (*before, *last_turn));
    let mut all: usize = busy.values().sum();
    wanted.retain(|(before, ..)| {
        let fits = all < if *before == 0 { most } else { most / 2 };
        all += usize::from(fits);
        fits
    });
    wanted.into_iter().map(|(_, _, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(number: u128) -> WebhookEndpointId {
        WebhookEndpointId(Uuid::from_u128(number))
    }

    fn due(number: u128) -> Due {
        Due { id: id(number), is_failing: false, deliveries: 4 }
    }

    fn numbers(ids: Vec<WebhookEndpointId>) -> Vec<u128> {
        ids.into_iter().map(|id| id.0.as_u128()).collect()
    }

    #[test]
    fn everyone_has_a_first_lane_before_anyone_gets_a_second() {
        let none = HashMap::new();
        let all = share_out(&[due(1), due(2), due(3)], &HashMap::new(), &none, 400);
        assert_eq!(numbers(all), [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]);
        let one_has_two = HashMap::from([(id(1), 2)]);
        assert_eq!(numbers(share_out(&[due(1), due(2)], &one_has_two, &none, 400)), [2, 2, 1, 2, 1, 2]);
    }

    #[test]
    fn half_of_the_lanes_are_for_first_ones() {
        let none = HashMap::new();
        assert_eq!(numbers(share_out(&[due(1), due(2)], &HashMap::new(), &none, 6)), [1, 2, 1]);
        let busy = HashMap::from([(id(1), 3)]);
        assert_eq!(numbers(share_out(&[due(1), due(2), due(3), due(4), due(5)], &busy, &none, 6)), [2, 3, 4]);
    }

    #[test]
    fn whose_last_turn_is_longest_ago_comes_first_and_later_where_nothing_gets() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let last = HashMap::from([(id(1), at(100)), (id(2), at(50)), (id(3), at(0)), (id(4), at(20))]);
        let failing = [3, 4].map(|number| Due { is_failing: true, ..due(number) });
        let all = [due(1), due(2), failing[0], failing[1], due(5)];
        assert_eq!(numbers(share_out(&all, &HashMap::new(), &last, 5))[..5], [5, 2, 3, 4, 1]);
    }
}
