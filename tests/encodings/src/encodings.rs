//! Ways to encode the images of a pack. Each proves that it gives the images back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lz4_flex::block::{compress, decompress};

use crate::difference::{Differ, apply, put_number, take_number};
use crate::works::{Image, PAGE};

/// No chain of differences is longer.
const CHAIN: usize = 256;

const BLOCK: usize = 128 * 1024;
const BLOCK_MAX: usize = 1024 * 1024;

pub struct Measured {
    pub bytes: usize,
    pub encoding: Duration,
    pub decoding: Duration,
    raw: usize,
}

impl Measured {
    pub fn rate(&self, time: Duration) -> f64 {
        self.raw as f64 / 1048576.0 / time.as_secs_f64()
    }
}

type Commits = [Vec<Image>];
type Encode = fn(&Commits) -> Measured;

pub const ENCODINGS: [(&str, Encode); 11] = [
    ("LZ4, each by itself", |commits| each(commits, |_, image| compress(image), |_, bytes| {
        decompress(bytes, PAGE).expect("LZ4")
    })),
    ("LZ4, blocks of 128 KiB in order", |commits| {
        let blocks = in_order(commits, BLOCK);
        measure(&blocks, |raw| compress(raw), |bytes, raw| decompress(bytes, raw).expect("LZ4"))
    }),
    ("zstd 3, blocks of 1 MiB in order", |commits| measure(&in_order(commits, BLOCK_MAX), zstd, unzstd)),
    ("XOR, LZ4", |commits| each(commits, |base, image| compress(&xor(base, image)), |base, bytes| {
        xor(base, &decompress(bytes, PAGE).expect("LZ4"))
    })),
    ("XOR, zstd 3", |commits| each(commits, |base, image| zstd(&xor(base, image)), |base, bytes| {
        xor(base, &unzstd(bytes, PAGE))
    })),
    ("zstd 3, the image before as prefix", |commits| each(commits, with_prefix, from_prefix)),
    ("difference alone", |commits| {
        let mut differ = Differ::default();
        each(commits, |base, image| difference(&mut differ, base, image), |base, bytes| {
            let mut image = vec![0; PAGE];
            match bytes.len() {
                PAGE => image.copy_from_slice(bytes),
                _ => apply(base, bytes, &mut image).expect("a difference"),
            }
            image
        })
    }),
    ("by page, LZ4", |commits| measure(&by_page(commits), |raw| compress(raw), |bytes, raw| {
        decompress(bytes, raw).expect("LZ4")
    })),
    ("by page, zstd 3", |commits| measure(&by_page(commits), zstd, unzstd)),
    ("by page, differences, LZ4", |commits| {
        let mut differ = Differ::default();
        measure(&by_page(commits), |raw| {
            let records = records(&mut differ, raw);
            let mut bytes = (records.len() as u32).to_le_bytes().to_vec();
            bytes.extend(compress(&records));
            bytes
        }, |bytes, raw| {
            let length = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"));
            images(&decompress(&bytes[4..], length as usize).expect("LZ4"), raw)
        })
    }),
    ("by page, differences, zstd 3", |commits| {
        let mut differ = Differ::default();
        measure(&by_page(commits), |raw| zstd(&records(&mut differ, raw)), |bytes, raw| {
            images(&unzstd(bytes, BLOCK_MAX + BLOCK), raw)
        })
    }),
];

/// Each image by itself, with the one before it of the same page, or zeros.
fn each(
    commits: &Commits,
    mut encode: impl FnMut(&[u8], &[u8]) -> Vec<u8>,
    mut decode: impl FnMut(&[u8], &[u8]) -> Vec<u8>,
) -> Measured {
    let mut before: BTreeMap<u32, (usize, &[u8])> = BTreeMap::new();
    let zeros = [0; PAGE];
    let mut measured = Measured::new();
    for image in commits.iter().flatten() {
        let (chain, base) = before.get(&image.number).copied().unwrap_or((0, &zeros));
        let base = if chain % CHAIN == 0 { &zeros } else { base };
        measured.take(&image.bytes, |raw| encode(base, raw), |bytes, _| decode(base, bytes));
        before.insert(image.number, (chain + 1, &image.bytes));
    }
    measured
}

fn measure(
    blocks: &[Vec<u8>],
    mut encode: impl FnMut(&[u8]) -> Vec<u8>,
    mut decode: impl FnMut(&[u8], usize) -> Vec<u8>,
) -> Measured {
    let mut measured = Measured::new();
    for block in blocks {
        // The row of the block.
        measured.bytes += 16;
        measured.take(block, &mut encode, &mut decode);
    }
    measured
}

impl Measured {
    fn new() -> Measured {
        Measured { bytes: 0, encoding: Duration::ZERO, decoding: Duration::ZERO, raw: 0 }
    }

    fn take(
        &mut self,
        raw: &[u8],
        encode: impl FnOnce(&[u8]) -> Vec<u8>,
        decode: impl FnOnce(&[u8], usize) -> Vec<u8>,
    ) {
        let begun = Instant::now();
        let bytes = encode(raw);
        self.encoding += begun.elapsed();
        let begun = Instant::now();
        let again = decode(&bytes, raw.len());
        self.decoding += begun.elapsed();
        assert!(again == raw, "what was encoded is not what comes back");
        self.bytes += bytes.len();
        self.raw += raw.len();
    }
}

fn in_order(commits: &Commits, size: usize) -> Vec<Vec<u8>> {
    let images: Vec<&Image> = commits.iter().flatten().collect();
    let concat = |images: &[&Image]| images.iter().flat_map(|image| image.bytes.clone()).collect();
    images.chunks(size / PAGE).map(concat).collect()
}

/// The images of each page side by side: a page that does not fit in begins a new block, and within one that has more
/// images than a block.
fn by_page(commits: &Commits) -> Vec<Vec<u8>> {
    let mut pages: BTreeMap<u32, Vec<&[u8]>> = BTreeMap::new();
    for image in commits.iter().flatten() {
        pages.entry(image.number).or_default().push(&image.bytes);
    }
    let mut blocks = vec![Vec::new()];
    for images in pages.values() {
        for group in images.chunks(CHAIN) {
            if blocks.last().is_some_and(|block| block.len() + group.len() * PAGE > BLOCK_MAX) {
                blocks.push(Vec::new());
            }
            let block = blocks.last_mut().expect("there is one");
            group.iter().for_each(|image| block.extend_from_slice(image));
        }
    }
    blocks
}

/// Each image of a block against the one before it.
fn records(differ: &mut Differ, raw: &[u8]) -> Vec<u8> {
    let (mut out, mut base) = (Vec::new(), &[0; PAGE][..]);
    for image in raw.chunks_exact(PAGE) {
        let bytes = difference(differ, base, image);
        put_number(bytes.len(), &mut out);
        out.extend(bytes);
        base = image;
    }
    out
}

fn images(mut records: &[u8], raw: usize) -> Vec<u8> {
    let mut images = vec![0; raw];
    for at in (0..raw).step_by(PAGE) {
        let length = take_number(&mut records).expect("a length");
        let (record, rest) = records.split_at(length);
        let (before, image) = images.split_at_mut(at);
        match length {
            PAGE => image[..PAGE].copy_from_slice(record),
            _ if at == 0 => apply(&[0; PAGE], record, &mut image[..PAGE]).expect("a difference"),
            _ => apply(&before[at - PAGE..], record, &mut image[..PAGE]).expect("a difference"),
        }
        records = rest;
    }
    images
}

fn difference(differ: &mut Differ, base: &[u8], image: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    differ.encode(base, image, &mut out);
    if out.len() >= PAGE * 3 / 4 {
        return image.to_vec();
    }
    out
}

fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

fn zstd(raw: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(raw, 3).expect("zstd")
}

fn unzstd(bytes: &[u8], raw: usize) -> Vec<u8> {
    zstd::bulk::decompress(bytes, raw).expect("zstd")
}

fn with_prefix(base: &[u8], image: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::with_dictionary(3, base).expect("zstd");
    compressor.compress(image).expect("zstd")
}

fn from_prefix(base: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut decompressor = zstd::bulk::Decompressor::with_dictionary(base).expect("zstd");
    decompressor.decompress(bytes, PAGE).expect("zstd")
}
