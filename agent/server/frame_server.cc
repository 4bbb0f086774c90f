#include "agent/server/frame_server.h"

#include <spdlog/spdlog.h>

#include <thread>

#include "agent/server/border.h"
#include "agent/server/requests.h"

namespace husk {

using wire::FrameKind;

namespace {

constexpr unsigned kReady = 2;  // workers

}  // namespace

void FrameServer::serve(UniqueFd fd, std::function<void(int)> wait_for_host, std::function<void()> on_end) {
  link_.emplace(std::move(fd));
  link_->set_patient();  // a host that does not listen has its reasons
  workers_.prepare(kReady);
  std::thread([this, wait_for_host = std::move(wait_for_host), on_end = std::move(on_end)] {
    if (wait_for_host) wait_for_host(link_->fd());
    hear();
    link_->end();
    if (on_end) on_end();
  }).detach();
}

void FrameServer::hear() {
  try {
    while (std::optional<wire::Frame> frame = link_->read()) {
      if (frame->kind == FrameKind::kRequest)
        begin(std::move(*frame));
      else if (const auto session = find(frame->session))
        session->hear(std::move(*frame));
    }
  } catch (const std::exception& e) {
    spdlog::error("the host: {}", e.what());
  }
}

void FrameServer::begin(wire::Frame frame) {
  const uint32_t id = frame.session;
  auto session = std::make_shared<ProcessSession>(*link_, id);
  {
    std::lock_guard lock(mutex_);
    if (!sessions_.try_emplace(id, session).second)
      throw Error(ErrorKind::kInvalid, "a session that is there");
  }
  try {
    workers_.run([this, id, session, data = std::move(frame.data)]() mutable {
      carry_out(id, *session, std::move(data));
    });
  } catch (const Error& e) {
    reply(id, error_reply(e));
  }
}

// A call's reply is its end, and so is an error.
void FrameServer::carry_out(uint32_t id, ProcessSession& session, std::string data) noexcept {
  try {
    agent::Request request;
    if (!request.ParseFromString(data)) throw Error(ErrorKind::kInvalid, "no request");
    std::string().swap(data);  // a config may be large, and a process live long
    if (!request.has_create() && !request.has_exec()) return reply(id, answer(guest_, request));
    session.run(guest_, std::move(request));
    forget(id);
    link_->write(id, FrameKind::kEnd, {});
  } catch (const Error& e) {
    reply(id, error_reply(e));
  } catch (const std::exception& e) {
    reply(id, error_reply(Error(ErrorKind::kInternal, e.what())));
  }
}

void FrameServer::forget(uint32_t id) {
  std::lock_guard lock(mutex_);
  sessions_.erase(id);
}

void FrameServer::reply(uint32_t id, const agent::Reply& reply) {
  forget(id);
  link_->write(id, FrameKind::kReply, reply.SerializeAsString());
}

std::shared_ptr<ProcessSession> FrameServer::find(uint32_t id) {
  std::lock_guard lock(mutex_);
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : found->second;
}

}  // namespace husk
