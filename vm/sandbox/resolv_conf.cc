#include "vm/sandbox/resolv_conf.h"

#include <sstream>

namespace husk::vm {

std::vector<std::string> nameservers(std::string_view resolv_conf) {
  std::vector<std::string> addresses;
  std::istringstream lines{std::string(resolv_conf)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word, address;
    if (words >> word >> address && word == "nameserver") addresses.push_back(std::move(address));
  }
  return addresses;
}

}  // namespace husk::vm
