#pragma once

#include <string_view>

#include "exporters/encode/exposition.h"

namespace braid::exporters {

struct NegotiatedExposition {
  ExpositionFormat format = ExpositionFormat::kText;
  std::string_view content_type;  // static
};

// The format a scraper likes best, by the q-values of its Accept header (RFC 9110, 12.5.1); of equals the
// first named. Versions and encodings we do not write are passed over, and with nothing left, or no header,
// it is text 0.0.4: a page in a format one did not ask for is of more use than a 406. `escaping=` is
// satisfied by any page of ours, since all names are legacy names.
NegotiatedExposition NegotiateExposition(std::string_view accept);

}  // namespace braid::exporters
