#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace braid::gateway {

// Tells this process from others like it: "<host name>:<port>" with the first port that is not 0, of the web
// listener or, where there is none, of a receiver; the host name alone without any. It is the `instance` that
// a scrape of that host by its name has, the same after a restart, and different for two processes that could
// run side by side.
std::string InstanceId(std::string_view host, std::initializer_list<uint16_t> ports);

// The system's; "localhost" where it has none.
std::string HostName();

}  // namespace braid::gateway
