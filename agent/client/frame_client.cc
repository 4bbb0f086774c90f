#include "agent/client/frame_client.h"

#include <pthread.h>
#include <sched.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "agent/client/connection_streams.h"
#include "agent/client/frame_attach_stream.h"
#include "agent/client/reply_inbox.h"
#include "agent/wire/wire.h"
#include "libcontainer/base/deadlines.h"

namespace husk {

using agent::Reply;
using wire::Frame;
using wire::FrameKind;

namespace {

constexpr size_t kBulk = 64u << 10;

Reply reply_of(const Frame& frame, const std::string& what) {
  Reply reply;
  if (frame.kind != FrameKind::kReply || !reply.ParseFromString(frame.data))
    throw Error(ErrorKind::kInvalid, "the guest's answer is none");
  if (reply.kind_case() != Reply::kErrorJson) return reply;
  Error error = wire::decode_error(reply.error_json(), Error(ErrorKind::kInternal, "the call failed"));
  if (!what.empty()) error.add_context(what);
  throw error;
}

// The reply, or why there is none.
Reply reply_in_time(wire::Inbox& inbox, std::chrono::steady_clock::time_point end, const std::string& what) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
  bool late = false;
  if (const std::optional<Frame> frame = inbox.next(std::max(left, std::chrono::milliseconds(0)), late))
    return reply_of(*frame, what);
  Error error = late           ? Error(ErrorKind::kTimeout, "the guest did not answer in time", ETIMEDOUT)
                : inbox.gone() ? Error(ErrorKind::kGuestDied, "the connection to the guest is gone")
                               : Error(ErrorKind::kInvalid, "the guest gave no answer, or too large a one");
  if (!what.empty()) error.add_context(what);
  throw error;
}

}  // namespace

FrameClient::FrameClient(UniqueFd socket) : link_(std::move(socket)), hearing_([this] { hear(); }) {
  try {
    speaking_ = std::thread([this] { speak_late(); });
  } catch (...) {
    link_.end();
    hearing_.join();
    throw;
  }
}

FrameClient::~FrameClient() {
  link_.end();
  hearing_.join();
  speaking_.join();
}

void FrameClient::hear() {
  try {
    while (std::optional<Frame> frame = link_.read()) {
      let_it_fill(frame->data.size() >= kBulk);
      hear_one(std::move(*frame));
    }
  } catch (const std::exception& e) {
    spdlog::warn("the guest: {}", e.what());
  }
  link_.end();
  std::lock_guard lock(mutex_);
  gone_ = true;
  changed_.notify_all();
  for (auto& [id, inbox] : inboxes_) inbox->end(true);
}

// QEMU sends a busy process's output piece by piece: it is not to be stopped by us at each of them. A policy
// that somebody has chosen stays.
void FrameClient::let_it_fill(bool bulk) {
  if (bulk == bulk_) return;
  int policy = SCHED_OTHER;
  sched_param param{};
  if (bulk && (pthread_getschedparam(pthread_self(), &policy, &param) != 0 || policy != SCHED_OTHER)) return;
  bulk_ = bulk;
  pthread_setschedparam(pthread_self(), bulk ? SCHED_BATCH : SCHED_OTHER, &param);
}

// What nobody waits for (any more) is no news.
void FrameClient::hear_one(Frame frame) {
  const uint32_t session = frame.session;
  const auto inbox = find(session);
  if (inbox && !inbox->hear(std::move(frame))) forget(session);
}

std::shared_ptr<wire::Inbox> FrameClient::find(uint32_t session) {
  std::lock_guard lock(mutex_);
  const auto found = inboxes_.find(session);
  return found == inboxes_.end() ? nullptr : found->second;
}

void FrameClient::say_late(Frame frame) {
  std::lock_guard lock(mutex_);
  late_.push_back(std::move(frame));
  changed_.notify_all();
}

void FrameClient::speak_late() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return gone_ || !late_.empty(); });
    if (gone_) return;
    const Frame frame = std::move(late_.front());
    late_.pop_front();
    lock.unlock();
    try {
      link_.write(frame.session, frame.kind, frame.data);
    } catch (const std::exception& e) {  // no memory
      spdlog::warn("the guest is not told of a session's end: {}", e.what());
    }
    lock.lock();
  }
}

// From destructors.
void FrameClient::end_session(uint32_t session) noexcept {
  forget(session);
  try {
    say_late({session, FrameKind::kEnd, {}});
  } catch (const std::exception& e) {  // no memory
    spdlog::warn("the guest is not told of a session's end: {}", e.what());
  }
}

void FrameClient::forget(uint32_t session) {
  std::lock_guard lock(mutex_);
  inboxes_.erase(session);
}

bool FrameClient::write(uint32_t session, FrameKind kind, std::string_view data) {
  return link_.write(session, kind, data);
}

// The number and what was made for it.
template <typename Make>
auto FrameClient::add_session(Make make) {
  std::lock_guard lock(mutex_);
  while (inboxes_.count(++last_)) {
  }
  auto inbox = make(last_);
  inboxes_[last_] = inbox;
  if (gone_) inbox->end(true);
  return std::pair(last_, inbox);
}

// A request that is not taken in time has no answer in time, either.
Reply FrameClient::call(const agent::Request& request, const std::string& what,
                        std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  const auto [session, inbox] = add_session([](uint32_t) { return std::make_shared<ReplyInbox>(); });
  const std::shared_ptr<void> forgotten(nullptr, [this, id = session](void*) { forget(id); });
  link_.write_by(end, session, FrameKind::kRequest, request.SerializeAsString());
  return reply_in_time(*inbox, end, what);
}

void FrameClient::tell(const agent::Request& notice) {
  if (!link_.write(0, FrameKind::kNotice, notice.SerializeAsString()))
    throw Error(ErrorKind::kGuestDied, "the connection to the guest is gone");
}

std::unique_ptr<AttachStream> FrameClient::attach(const agent::Request& request, agent::Attached& attached) {
  const auto end = std::chrono::steady_clock::now() + deadline::kAgentCreate;
  const auto [session, inbox] = add_session([](uint32_t) { return std::make_shared<ReplyInbox>(); });
  std::unique_ptr<AttachStream> stream = attach_stream(*this, session, inbox);  // ends it, if we throw
  link_.write_by(end, session, FrameKind::kRequest, request.SerializeAsString());
  Reply reply;
  try {
    reply = reply_in_time(*inbox, end, "");
  } catch (const Error& e) {
    // At once: a signal for what the guest may still make comes behind it, and one of both is in time.
    if (e.kind() == ErrorKind::kTimeout)
      link_.write_by(std::chrono::steady_clock::now() + deadline::kGoodbye, session, FrameKind::kEnd, {});
    throw;
  }
  if (!reply.has_attached())
    throw Error(ErrorKind::kInvalid, "the guest's first word on an attached stream is not \"attached\"");
  attached = std::move(*reply.mutable_attached());
  return stream;
}

std::unique_ptr<ListenStream> FrameClient::listen(const agent::Request& request) {
  const auto end = std::chrono::steady_clock::now() + deadline::kAgentCall;
  const auto [session, channel] = add_channel();
  std::unique_ptr<ListenStream> stream = listen_stream(*this, session, channel);
  link_.write_by(end, session, FrameKind::kOpen, request.SerializeAsString());
  reply_in_time(*channel, end, "");
  return stream;
}

std::unique_ptr<CarryStream> FrameClient::carry(const agent::Request& request) {
  const auto [session, channel] = add_channel();
  std::unique_ptr<CarryStream> stream = carry_stream(*this, session, channel);
  if (!link_.write(session, FrameKind::kOpen, request.SerializeAsString())) channel->close();
  return stream;
}

void FrameClient::refuse(const agent::Request& carry) {
  const auto [session, inbox] = add_session([](uint32_t) { return std::make_shared<ReplyInbox>(); });
  say_late({session, FrameKind::kOpen, carry.SerializeAsString()});
  end_session(session);
}

std::pair<uint32_t, std::shared_ptr<wire::Channel>> FrameClient::add_channel() {
  return add_session([this](uint32_t number) { return std::make_shared<wire::Channel>(link_, number); });
}

}  // namespace husk
