//! The hash of a page, and of many pages at once.
//!
//! BLAKE3 hashes chunks of 1 KiB side by side, as many as the CPU has lanes for: sixteen with AVX-512. A page has
//! four, so that a page by itself leaves most of them empty. Here the first chunks of sixteen pages are hashed side by
//! side, then their second ones, and so on, and then the levels above. The results are the same.

use blake3::IncrementCounter;
use blake3::platform::Platform;
use ebbtide_wal::PageNumber;

use crate::text::shown_as_hex;

/// What follows the hash of the image, before the number.
const PAGE_DOMAIN: &[u8; 16] = b"ebbtide page\0\0\0\0";

/// How many pages are hashed at once: as many as the widest CPUs have lanes.
pub const PAGES_AT_ONCE: usize = 16;

/// From how many pages on that is faster than one after the other, on all CPUs.
const WORTHWHILE: usize = 4;

/// What BLAKE3 begins with where it has no key, and its flags (the BLAKE3 paper, tables 1 and 3).
const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 2;
const PARENT: u8 = 4;
const ROOT: u8 = 8;
const CHUNK_BYTES: usize = 1024;

/// The hash of a chunk, of the nodes above it, or of all.
type Node = [u8; 32];

/// The hash of one page image at one page number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageHash([u8; 16]);

impl PageHash {
    /// The number of bytes of a page's hash.
    pub const SIZE: usize = 16;

    /// The hash with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> PageHash {
        PageHash(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn of(hash: &Node) -> PageHash {
        let (half, _) = hash.split_first_chunk().expect("a hash has 32 bytes");
        PageHash(*half)
    }
}

shown_as_hex!(PageHash);

/// The hash of `image` as page `number`: the first 16 bytes of BLAKE3 over the BLAKE3 of the image and the number, so
/// that the same bytes at another place hash otherwise.
#[must_use]
pub fn page_hash(number: PageNumber, image: &[u8]) -> PageHash {
    PageHash::of(blake3::hash(&at_number(number, blake3::hash(image).as_bytes())).as_bytes())
}

/// The hash of an image and where it stands.
fn at_number(number: PageNumber, image: &Node) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(image);
    bytes[32..48].copy_from_slice(PAGE_DOMAIN);
    bytes[60..].copy_from_slice(&number.get().to_le_bytes());
    bytes
}

/// Hashes pages, of which `images` has one after the other, and hands each to `each` with its number.
pub fn hash_pages(
    numbers: &[PageNumber],
    images: &[u8],
    mut each: impl FnMut(PageNumber, PageHash),
) {
    let Some(page_size) = images.len().checked_div(numbers.len()).filter(|&size| size > 0) else {
        return;
    };
    let platform = Platform::detect();
    let batches = images.chunks(page_size * PAGES_AT_ONCE);
    for (numbers, images) in numbers.chunks(PAGES_AT_ONCE).zip(batches) {
        // SQLite's pages have such sizes; the rest is only defined for them.
        if numbers.len() >= WORTHWHILE && page_size.is_power_of_two() && page_size >= 512 {
            let hashed = hash_side_by_side(platform, numbers, images, page_size);
            numbers
                .iter()
                .zip(&hashed)
                .for_each(|(&number, hash)| each(number, PageHash::of(hash)));
        } else {
            let pages = numbers.iter().zip(images.chunks(page_size));
            pages.for_each(|(&number, image)| each(number, page_hash(number, image)));
        }
    }
}

/// The whole hashes of at most [`PAGES_AT_ONCE`] pages.
fn hash_side_by_side(
    platform: Platform,
    numbers: &[PageNumber],
    images: &[u8],
    page_size: usize,
) -> [Node; PAGES_AT_ONCE] {
    let mut nodes = match page_size {
        512 => chunks::<512>(platform, images, page_size),
        _ => chunks::<CHUNK_BYTES>(platform, images, page_size),
    };
    while nodes.len() > numbers.len() {
        let flags = if nodes.len() == 2 * numbers.len() { PARENT | ROOT } else { PARENT };
        let pairs: Vec<&[u8; 64]> = nodes.as_flattened().as_chunks().0.iter().collect();
        let mut above = vec![Node::default(); pairs.len()];
        let no = IncrementCounter::No;
        platform.hash_many(&pairs, &IV, 0, no, flags, 0, 0, above.as_flattened_mut());
        nodes = above;
    }
    let placed = numbers.iter().zip(&nodes).map(|(&number, image)| at_number(number, image));
    let placed: Vec<[u8; 64]> = placed.collect();
    let mut hashes = [Node::default(); PAGES_AT_ONCE];
    let inputs: Vec<&[u8; 64]> = placed.iter().collect();
    single_chunks(platform, &inputs, 0, true, &mut hashes);
    hashes
}

/// The nodes of all chunks of `N` bytes, one page's after the other's.
fn chunks<const N: usize>(platform: Platform, images: &[u8], page_size: usize) -> Vec<Node> {
    let count = page_size / N;
    let mut nodes = vec![Node::default(); images.len() / N];
    let mut column = [Node::default(); PAGES_AT_ONCE];
    for chunk in 0..count {
        let of_page = |image| <[u8]>::as_chunks::<N>(image).0.get(chunk);
        let inputs: Vec<&[u8; N]> = images.chunks_exact(page_size).filter_map(of_page).collect();
        single_chunks(platform, &inputs, chunk, count == 1, &mut column);
        let pages = nodes.chunks_exact_mut(count).zip(&column);
        pages.for_each(|(page, &node)| page[chunk] = node);
    }
    nodes
}

/// Hashes chunks that all have the place `number` in what they belong to.
fn single_chunks<const N: usize>(
    platform: Platform,
    inputs: &[&[u8; N]],
    number: usize,
    is_all: bool,
    nodes: &mut [Node; PAGES_AT_ONCE],
) {
    let end = if is_all { CHUNK_END | ROOT } else { CHUNK_END };
    let (no, number) = (IncrementCounter::No, number as u64);
    platform.hash_many(inputs, &IV, number, no, 0, CHUNK_START, end, nodes.as_flattened_mut());
}

/// Hashes pages that come one by one, [`PAGES_AT_ONCE`] at a time.
#[derive(Debug, Default)]
pub struct PageHasher {
    numbers: Vec<PageNumber>,
    images: Vec<u8>,
    hashed: Vec<(PageNumber, PageHash)>,
}

impl PageHasher {
    /// Takes a page, and hands out the hashes that are known by now.
    pub fn push(
        &mut self,
        number: PageNumber,
        image: &[u8],
    ) -> impl Iterator<Item = (PageNumber, PageHash)> {
        self.numbers.push(number);
        self.images.extend_from_slice(image);
        if self.numbers.len() == PAGES_AT_ONCE {
            self.hash();
        }
        self.hashed.drain(..)
    }

    /// Hands out the others.
    pub fn finish(mut self) -> impl Iterator<Item = (PageNumber, PageHash)> {
        self.hash();
        self.hashed.into_iter()
    }

    fn hash(&mut self) {
        let PageHasher { numbers, images, hashed } = self;
        hash_pages(numbers, images, |number, hash| hashed.push((number, hash)));
        numbers.clear();
        images.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u32) -> PageNumber {
        PageNumber::new(number).unwrap()
    }

    #[test]
    fn a_page_hashes_by_its_bytes_and_its_number() {
        let image = [7; 512];
        assert_eq!(page_hash(page(1), &image), page_hash(page(1), &image));
        assert_ne!(page_hash(page(1), &image), page_hash(page(2), &image));
        assert_ne!(page_hash(page(1), &image), page_hash(page(1), &[8; 512]));
    }

    /// Would also find a version of the library in which these functions mean something else.
    #[test]
    fn many_pages_at_once_have_the_hashes_that_each_has() {
        for size in (9..=16).map(|power| 1_usize << power) {
            for count in [1, 3, 4, 15, 16, 17, 40] {
                let images: Vec<u8> =
                    (0..count * size).map(|at| (at * 31 + at / 251).to_le_bytes()[0]).collect();
                let numbers: Vec<PageNumber> =
                    (0..count).map(|at| page(u32::try_from(at).unwrap() * 3 + 1)).collect();
                let alone: Vec<_> = numbers
                    .iter()
                    .zip(images.chunks(size))
                    .map(|(&number, image)| (number, page_hash(number, image)))
                    .collect();
                let mut together = Vec::new();
                hash_pages(&numbers, &images, |number, hash| together.push((number, hash)));
                assert!(together == alone, "{count} pages of {size}");

                let (mut hasher, mut one_by_one) = (PageHasher::default(), Vec::new());
                for (&number, image) in numbers.iter().zip(images.chunks(size)) {
                    one_by_one.extend(hasher.push(number, image));
                }
                one_by_one.extend(hasher.finish());
                assert!(one_by_one == alone, "{count} pages of {size}");
            }
        }
    }
}
