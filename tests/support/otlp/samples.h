#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "base/slab.h"
#include "correlate/model/signal.h"

// Random but plausible OTLP, as wire bytes.
namespace braid::test {

// A valid request of one signal: every field of the schema occurs now and then, IDs are mostly good, keys
// sometimes those that the decoder looks for.
std::string RandomRequest(Signal signal, std::mt19937_64& random);

// A few random edits: flipped bits, cut, doubled and moved ranges, stretched varints, inserted groups and bad
// text.
void Mutate(std::string* bytes, std::mt19937_64& random);

// A Slab with these bytes.
Slab ToSlab(SlabPool& pool, std::string_view bytes);

}  // namespace braid::test
