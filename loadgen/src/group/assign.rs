//! Share partitions among members, as a leader of a generation does: `range` and `cooperative-sticky` of one topic.
//!
//! Pure. A member brings its name, by which members are put in order, and what it owns.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How partitions are shared, and whether members let go of all of them for a rebalance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Assignor {
    /// Eager: all is given up, then shared in ranges.
    #[default]
    Range,
    /// Members keep what they can; what moves is given up in one generation and taken in the next.
    CooperativeSticky,
}

impl Assignor {
    /// Its name in JoinGroup.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Members keep what they own while they join.
    pub fn is_cooperative(self) -> bool {
        self == Self::CooperativeSticky
    }
}

/// What a leader knows of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Instance id, else member id: the order among members.
    pub name: String,
    /// What it says it owns.
    pub owned: Vec<i32>,
    /// The generation that gave it these.
    pub generation: i32,
}

/// The share of each claim, in the order of the claims; partitions of a share in order.
pub fn assign(assignor: Assignor, claims: &[Claim], partition_count: i32) -> Vec<Vec<i32>> {
    match assignor {
        Assignor::Range => range(claims, partition_count),
        Assignor::CooperativeSticky => cooperative(claims, partition_count),
    }
}

/// Places of the claims in the order of their names.
fn by_name(claims: &[Claim]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..claims.len()).collect();
    order.sort_by(|one, other| claims[*one].name.cmp(&claims[*other].name));
    order
}

fn range(claims: &[Claim], partition_count: i32) -> Vec<Vec<i32>> {
    let mut shares = vec![Vec::new(); claims.len()];
    let members = claims.len().max(1) as i32;
    let (least, more) = (partition_count / members, partition_count % members);
    let mut start = 0;
    for (place, claim) in (0_i32..).zip(by_name(claims)) {
        let end = start + least + i32::from(place < more);
        shares[claim] = (start..end).collect();
        start = end;
    }
    shares
}

fn cooperative(claims: &[Claim], partition_count: i32) -> Vec<Vec<i32>> {
    let mut shares: Vec<Vec<i32>> = vec![Vec::new(); claims.len()];
    if claims.is_empty() {
        return shares;
    }
    let members = claims.len() as i32;
    let least = partition_count / members;
    // So many members have one more than `least`.
    let mut more_left = partition_count % members;
    let owners = owners(claims, partition_count);
    // The ones who own much first: they are those who may keep one more.
    let mut order = by_name(claims);
    let owned_count = |claim: usize| owners.values().filter(|owner| **owner == claim).count();
    order.sort_by_key(|claim| std::cmp::Reverse(owned_count(*claim)));
    let mut quotas = vec![0; claims.len()];
    for claim in &order {
        quotas[*claim] = (least + i32::from(more_left > 0)) as usize;
        more_left -= 1;
    }
    let mut moved = Vec::new();
    for partition in 0..partition_count {
        match owners.get(&partition) {
            Some(owner) if shares[*owner].len() < quotas[*owner] => shares[*owner].push(partition),
            // KIP-429: what someone still owns goes to another only after it was given up.
            Some(_) => {}
            None => moved.push(partition),
        }
    }
    let mut takers = order.into_iter().peekable();
    for partition in moved {
        while takers.next_if(|claim| shares[*claim].len() >= quotas[*claim]).is_some() {}
        if let Some(taker) = takers.peek() {
            shares[*taker].push(partition);
        }
    }
    shares.iter_mut().for_each(|share| share.sort_unstable());
    shares
}

/// Who owns each partition; of two claims the newer generation's counts, of the same generation neither.
fn owners(claims: &[Claim], partition_count: i32) -> BTreeMap<i32, usize> {
    let mut newest: BTreeMap<i32, (i32, Option<usize>)> = BTreeMap::new();
    for (place, claim) in claims.iter().enumerate() {
        for partition in claim.owned.iter().filter(|partition| (0..partition_count).contains(*partition)) {
            let known = newest.entry(*partition).or_insert((claim.generation, Some(place)));
            if known.1 == Some(place) {
                continue;
            }
            match known.0.cmp(&claim.generation) {
                std::cmp::Ordering::Less => *known = (claim.generation, Some(place)),
                std::cmp::Ordering::Equal => known.1 = None,
                std::cmp::Ordering::Greater => {}
            }
        }
    }
    newest.into_iter().filter_map(|(partition, (_, owner))| Some((partition, owner?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(name: &str, owned: &[i32], generation: i32) -> Claim {
        Claim { name: name.into(), owned: owned.into(), generation }
    }

    #[test]
    fn ranges_are_shared_by_name_and_the_first_have_one_more() {
        let claims = [claim("b", &[], -1), claim("a", &[], -1), claim("c", &[], -1)];
        assert_eq!(assign(Assignor::Range, &claims, 7), [vec![3, 4], vec![0, 1, 2], vec![5, 6]]);
        assert_eq!(assign(Assignor::Range, &claims, 1), [vec![], vec![0], vec![]]);
    }

    #[test]
    fn what_moves_is_first_given_up_and_then_taken() {
        let before = [claim("a", &[0, 1, 2, 3], 1), claim("b", &[], -1)];
        let first = assign(Assignor::CooperativeSticky, &before, 4);
        assert_eq!(first, [vec![0, 1], vec![]], "b waits until a has let go");
        let after = [claim("a", &first[0], 2), claim("b", &first[1], 2)];
        assert_eq!(assign(Assignor::CooperativeSticky, &after, 4), [vec![0, 1], vec![2, 3]]);
    }

    #[test]
    fn of_two_claims_the_newer_generation_counts() {
        let claims = [claim("a", &[0, 1], 3), claim("b", &[1, 2], 4)];
        assert_eq!(assign(Assignor::CooperativeSticky, &claims, 3), [vec![0], vec![1, 2]]);
    }

    proptest::proptest! {
        #[test]
        fn every_partition_has_one_owner_after_two_rounds_and_shares_are_even(
            owned in proptest::collection::vec(proptest::collection::vec(0..40_i32, 0..20), 1..12),
            partition_count in 0..40_i32,
            cooperative in proptest::bool::ANY,
        ) {
            let assignor = if cooperative { Assignor::CooperativeSticky } else { Assignor::Range };
            let mut claims: Vec<Claim> =
                owned.iter().enumerate().map(|(at, owned)| claim(&format!("m{at}"), owned, at as i32 % 3)).collect();
            for round in 10..12 {
                let shares = assign(assignor, &claims, partition_count);
                let mut all: Vec<i32> = shares.concat();
                all.sort_unstable();
                all.dedup();
                assert_eq!(all.len(), shares.iter().map(Vec::len).sum::<usize>(), "no partition twice");
                for (claim, share) in claims.iter_mut().zip(shares) {
                    // A member keeps of what it owns only what it was given; what it lost it gives up.
                    *claim = Claim { owned: share, generation: round, ..claim.clone() };
                }
            }
            let sizes: Vec<usize> = claims.iter().map(|claim| claim.owned.len()).collect();
            assert_eq!(sizes.iter().sum::<usize>(), partition_count as usize);
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
        }
    }
}
