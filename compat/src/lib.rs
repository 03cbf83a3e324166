//! DragonFly's headers and kernel services that CARP stands on. Folders and
//! files have the names of upstream's tree; nothing here knows of CARP.

pub mod net;
pub mod netinet;
pub mod netinet6;
pub mod qsbr;
mod sync;
pub mod sys;
