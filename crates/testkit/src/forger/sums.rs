//! The digest is a sum without carries, so pages that mean nothing can be chosen for any digest.

use ebbtide_replica::{PageHash, page_hash};
use ebbtide_wal::PageNumber;

/// As many pages to choose from are enough for nearly any sum of 128 bits.
const CHOICES: usize = 160;

/// Which of `parts` add up to `sum`, if some do.
#[must_use]
pub fn add_up(sum: u128, parts: &[u128]) -> Option<Vec<usize>> {
    // The rows of a basis, the largest first, and the parts that each is made of.
    let mut basis: Vec<(u128, Vec<bool>)> = Vec::new();
    let reduce = |basis: &[(u128, Vec<bool>)], mut value: u128, mut made: Vec<bool>| {
        for (row, of) in basis {
            if value ^ row < value {
                value ^= row;
                made.iter_mut().zip(of).for_each(|(made, of)| *made ^= of);
            }
        }
        (value, made)
    };
    let nothing = vec![false; parts.len()];
    for (number, &part) in parts.iter().enumerate() {
        let mut made = nothing.clone();
        made[number] = true;
        let (value, made) = reduce(&basis, part, made);
        if value != 0 {
            let at = basis.partition_point(|(row, _)| *row > value);
            basis.insert(at, (value, made));
        }
    }
    let (left, made) = reduce(&basis, sum, nothing);
    (left == 0).then(|| (0..parts.len()).filter(|&number| made[number]).collect())
}

/// Replaces `victim`, counted from 0, of `pages` by `image`, and so many of the others by ones that mean nothing that the
/// hashes of all add up to what they did.
///
/// # Panics
/// With fewer than `CHOICES` other pages.
pub fn with_same_digest(pages: &mut [(PageNumber, Vec<u8>)], victim: usize, image: Vec<u8>) {
    let value = |hash: PageHash| u128::from_ne_bytes(*hash.as_bytes());
    let hash = |(number, image): &(PageNumber, Vec<u8>)| value(page_hash(*number, image));
    let before = hash(&pages[victim]);
    pages[victim].1 = image;
    let sum = before ^ hash(&pages[victim]);
    let others: Vec<usize> =
        (0..pages.len()).rev().filter(|&at| at != victim).take(CHOICES).collect();
    assert_eq!(others.len(), CHOICES, "a database of more pages");
    let junk = |at: usize| {
        let (number, image) = &pages[at];
        let mut junk = image.clone();
        let last = junk.len() - 1;
        junk[last] ^= 0x5a;
        (*number, junk)
    };
    let choices: Vec<_> = others.iter().map(|&at| junk(at)).collect();
    let parts: Vec<u128> =
        others.iter().zip(&choices).map(|(&at, junk)| hash(&pages[at]) ^ hash(junk)).collect();
    let chosen = add_up(sum, &parts).expect("with so many to choose from there is a way");
    for number in chosen {
        pages[others[number]] = choices[number].clone();
    }
}

#[cfg(test)]
mod tests {
    use ebbtide_replica::Digest;

    use super::*;

    #[test]
    fn parts_add_up_to_what_they_can() {
        assert_eq!(add_up(0b101, &[0b110, 0b011, 0b1000]), Some(vec![0, 1]));
        assert_eq!(add_up(0b100, &[0b110, 0b011, 0b1000]), None);
        assert_eq!(add_up(0, &[1, 2]), Some(vec![]));
    }

    #[test]
    fn other_pages_have_the_same_digest() {
        let page = |number: u32| (PageNumber::new(number).unwrap(), vec![7; 512]);
        let mut pages: Vec<_> = (1..=200).map(page).collect();
        let digest = |pages: &[(PageNumber, Vec<u8>)]| -> Digest {
            pages.iter().map(|(number, image)| page_hash(*number, image)).collect()
        };
        let (before, old) = (digest(&pages), pages.clone());
        with_same_digest(&mut pages, 3, vec![9; 512]);
        assert!(digest(&pages) == before && pages != old && pages[3].1 == [9; 512]);
    }
}
