#include "gateway/instance_id.h"

#include <unistd.h>

#include <array>

namespace braid::gateway {

std::string InstanceId(std::string_view host, std::initializer_list<uint16_t> ports) {
  std::string id(host);
  for (const uint16_t port : ports) {
    if (port == 0) continue;
    id.append(":").append(std::to_string(port));
    break;
  }
  return id;
}

std::string HostName() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  return name.data();
}

}  // namespace braid::gateway
