//! Chord (Stoica et al., SIGCOMM 2001 and ToN 2003): a ring of successors with fingers across it.
