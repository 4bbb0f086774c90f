#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "agent/client/agent_client.h"
#include "tests/agent/fake_agent.h"

namespace husk {
namespace {

// A socketpair plays the character device.
TEST(Pump, CarriesBytesBothWaysAndEndsOnce) {
  auto [device, host] = socket_pair(SOCK_STREAM);
  std::promise<void> ended;
  UniqueFd socket = wire::pump_device(std::move(device), [&] { ended.set_value(); });
  std::string data(3 << 20, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 31 >> 3);
  for (auto [from, to] : {std::pair(host.get(), socket.get()), std::pair(socket.get(), host.get())}) {
    std::thread writer([&, from = from] { write_all(from, data, "write"); });
    std::string got;
    char buffer[8192];
    while (got.size() < data.size()) {
      ssize_t n = read(to, buffer, sizeof buffer);
      ASSERT_GT(n, 0);
      got.append(buffer, static_cast<size_t>(n));
    }
    writer.join();
    EXPECT_TRUE(got == data);
  }
  host.reset();
  ended.get_future().wait();
  char byte;
  EXPECT_EQ(read(socket.get(), &byte, 1), 0);
}

TEST(Pump, EndsWithTheSocketToo) {
  auto [device, host] = socket_pair(SOCK_STREAM);
  std::promise<void> ended;
  UniqueFd socket = wire::pump_device(std::move(device), [&] { ended.set_value(); });
  socket.reset();
  EXPECT_EQ(ended.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
}

}  // namespace
}  // namespace husk
