#include <nlohmann/json.hpp>

#include "agent/wire/wire.h"
#include "libcontainer/base/message.h"

namespace husk::wire {
namespace {

constexpr size_t kMaxErrorText = 8u << 10;  // the details have to fit into metadata

grpc::StatusCode code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalid:
      return grpc::StatusCode::INVALID_ARGUMENT;
    case ErrorKind::kNotFound:
      return grpc::StatusCode::NOT_FOUND;
    case ErrorKind::kExists:
      return grpc::StatusCode::ALREADY_EXISTS;
    case ErrorKind::kWrongState:
      return grpc::StatusCode::FAILED_PRECONDITION;
    case ErrorKind::kPermission:
      return grpc::StatusCode::PERMISSION_DENIED;
    case ErrorKind::kTimeout:
      return grpc::StatusCode::DEADLINE_EXCEEDED;
    case ErrorKind::kUnsupported:
      return grpc::StatusCode::UNIMPLEMENTED;
    case ErrorKind::kGuestDied:
      return grpc::StatusCode::UNAVAILABLE;
    case ErrorKind::kInternal:
      break;
  }
  return grpc::StatusCode::INTERNAL;
}

// What the transport or gRPC itself says.
Error transport_error(const grpc::Status& status) {
  std::string text = printable(status.error_message());
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      return Error(ErrorKind::kGuestDied, "the connection to the guest is gone (" + text + ")");
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return Error(ErrorKind::kTimeout, "the guest did not answer in time", ETIMEDOUT);
    case grpc::StatusCode::UNIMPLEMENTED:
      return Error(ErrorKind::kUnsupported, "the guest does not know this call (" + text + ")");
    default:
      return Error(ErrorKind::kInternal, text.empty() ? "the call failed" : text);
  }
}

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

grpc::Status to_status(const Error& error) {
  return grpc::Status(code_of(error.kind()), printable(error.message()), encode_error(error));
}

void throw_if_failed(const grpc::Status& status, const std::string& what) {
  if (status.ok()) return;
  Error error = transport_error(status);
  if (!status.error_details().empty()) error = decode_error(status.error_details(), error);
  if (!what.empty()) error.add_context(what);
  throw error;
}

}  // namespace husk::wire
