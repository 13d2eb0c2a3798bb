//! The one format of all objects: header, blocks of page images, index, footer.
