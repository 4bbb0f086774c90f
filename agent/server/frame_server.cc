#include "agent/server/frame_server.h"

#include <thread>

#include "agent/guest/log.h"
#include "agent/server/border.h"
#include "agent/server/channels.h"
#include "agent/server/requests.h"

namespace husk {

using wire::FrameKind;

namespace {

constexpr unsigned kReady = 2;  // workers

// A signal to one process, or the time: nothing to wait for, and what is asked for behind it finds it done.
void heed(guest::Guest& guest, const wire::Frame& frame) {
  agent::Request request;
  if (!request.ParseFromString(frame.data)) throw Error(ErrorKind::kInvalid, "no request");
  if (!request.has_follow_clock() && (!request.has_signal() || request.signal().all()))
    throw Error(ErrorKind::kInvalid, "no notice");
  const agent::Reply reply = answer(guest, request);
  if (reply.has_error_json()) guest::log_debug("a notice: " + reply.error_json());
}

}  // namespace

void FrameServer::serve(UniqueFd fd, std::function<void(int)> wait_for_host, std::function<void()> on_end) {
  link_.emplace(std::move(fd));
  link_->set_patient();  // a host that does not listen has its reasons
  workers_.prepare(kReady);
  std::thread([this, wait_for_host = std::move(wait_for_host), on_end = std::move(on_end)] {
    warm_heap();
    if (wait_for_host) wait_for_host(link_->fd());
    hear();
    link_->end();
    if (on_end) on_end();
  }).detach();
}

void FrameServer::hear() {
  try {
    while (std::optional<wire::Frame> frame = link_->read()) {
      if (frame->kind == FrameKind::kRequest || frame->kind == FrameKind::kOpen)
        begin(std::move(*frame));
      else if (frame->kind == FrameKind::kNotice)
        heed(guest_, *frame);
      else
        pass_on(std::move(*frame));
    }
  } catch (const std::exception& e) {
    guest::log_error(std::string("the host: ") + e.what());
  }
}

FrameServer::Session FrameServer::make_session(const wire::Frame& frame) {
  if (frame.kind == FrameKind::kOpen) return std::make_shared<wire::Channel>(*link_, frame.session);
  return std::make_shared<ProcessSession>(*link_, frame.session);
}

// What there is no room for is refused; a host that breaks the rules is not heard any more.
void FrameServer::begin(wire::Frame frame) {
  const uint32_t id = frame.session;
  if (find(id)) throw Error(ErrorKind::kInvalid, "a session that is there");
  try {
    Session session = make_session(frame);
    {
      std::lock_guard lock(mutex_);
      sessions_.emplace(id, session);
    }
    workers_.run([this, id, session = std::move(session), data = std::move(frame.data)]() mutable {
      carry_out(id, session, std::move(data));
    });
  } catch (const Error& e) {
    reply(id, error_reply(e));
  } catch (const std::exception& e) {
    reply(id, error_reply(Error(ErrorKind::kInternal, e.what())));
  }
}

// A call's reply is its end, and so is an error.
void FrameServer::carry_out(uint32_t id, const Session& session, std::string data) noexcept {
  try {
    agent::Request request;
    if (!request.ParseFromString(data)) throw Error(ErrorKind::kInvalid, "no request");
    std::string().swap(data);  // a config may be large, and a process live long
    if (const auto* channel = std::get_if<std::shared_ptr<wire::Channel>>(&session))
      serve_channel(guest_, request, **channel);
    else if (request.has_create() || request.has_exec())
      std::get<std::shared_ptr<ProcessSession>>(session)->run(guest_, std::move(request));
    else
      return reply(id, answer(guest_, request));
    forget(id);
    link_->write(id, FrameKind::kEnd, {});
  } catch (const Error& e) {
    reply(id, error_reply(e));
  } catch (const std::exception& e) {
    reply(id, error_reply(Error(ErrorKind::kInternal, e.what())));
  }
}

// What nobody waits for any more is no news.
void FrameServer::pass_on(wire::Frame frame) {
  const std::optional<Session> session = find(frame.session);
  if (session) std::visit([&](const auto& one) { one->hear(std::move(frame)); }, *session);
}

std::optional<FrameServer::Session> FrameServer::find(uint32_t id) {
  std::lock_guard lock(mutex_);
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return {};
  return found->second;
}

void FrameServer::forget(uint32_t id) {
  std::lock_guard lock(mutex_);
  sessions_.erase(id);
}

void FrameServer::reply(uint32_t id, const agent::Reply& reply) {
  forget(id);
  link_->write(id, FrameKind::kReply, reply.SerializeAsString());
}

}  // namespace husk
