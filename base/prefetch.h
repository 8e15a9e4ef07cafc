#pragma once

// Of a function that does nothing but prefetch. GCC takes such a function for one without effects and deletes
// the calls it does not inline.
#define BRAID_PREFETCHER [[gnu::always_inline]]
