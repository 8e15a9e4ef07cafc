#define BRAID_VISITOR kBaseline
#include "ingest/decode/visitor_impl.h"
