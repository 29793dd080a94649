//! Backups of a prefix, on stores that fail.

mod crash;
mod formats;
mod prefix;
mod work;
