// Compiled with AVX2 and BMI2 (see CMakeLists.txt); run only where both are present.
#define BRAID_VISITOR kAvx2
#include "ingest/decode/visitor_impl.h"
