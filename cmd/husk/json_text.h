#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace husk::cmd {

// Bytes that are no UTF-8 (a path may hold any) are replaced instead of thrown on. indent < 0: one line.
template <typename AnyJson>
std::string json_text(const AnyJson& json, int indent) {
  return json.dump(indent, ' ', false, AnyJson::error_handler_t::replace);
}

}  // namespace husk::cmd
