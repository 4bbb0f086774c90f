#include <nlohmann/json.hpp>

#include "agent/wire/wire.h"
#include "libcontainer/base/message.h"

namespace husk::wire {
namespace {

constexpr size_t kMaxErrorText = 8u << 10;

}  // namespace

std::string encode_error(const Error& error) {
  const Error bounded(error.kind(), error.message().substr(0, kMaxErrorText), error.errnum());
  return error_to_json(bounded).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// The guest's words end in logs and on terminals.
Error decode_error(std::string_view json, const Error& otherwise) {
  const Json details = parse_untrusted(json);
  if (!details.is_object() || !details.contains("error")) return otherwise;
  const Error told = error_from_json(details);
  return Error(told.kind(), one_line(told.message().substr(0, kMaxErrorText)), told.errnum());
}

}  // namespace husk::wire
