#include "libcontainer/base/stream_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "libcontainer/base/file.h"
#include "tests/base/temp_folder.h"

namespace husk {
namespace {

TEST(StreamFd, KnowsTheSameOutput) {
  auto [a_read, a] = make_pipe();
  auto [b_read, b] = make_pipe();
  const UniqueFd same = dup_fd(a.get());
  EXPECT_TRUE(is_same_output(a.get(), same.get()));
  EXPECT_FALSE(is_same_output(a.get(), b.get()));
  TempFolder folder;
  const std::string path = folder / "file";
  const UniqueFd file = open_file(path, O_WRONLY | O_CREAT, 0644), again = open_file(path, O_WRONLY),
                 shared = dup_fd(file.get());
  EXPECT_FALSE(is_same_output(file.get(), again.get()));  // each with a place of its own
  EXPECT_TRUE(is_same_output(file.get(), shared.get()));
}

TEST(StreamFd, OfOursOnlyDoesNotBlock) {
  auto [read_end, write_end] = make_pipe();
  UniqueFd own = dup_fd(write_end.get());
  unblock(own, O_WRONLY);
  EXPECT_TRUE(fcntl(own.get(), F_GETFL) & O_NONBLOCK);
  EXPECT_FALSE(fcntl(write_end.get(), F_GETFL) & O_NONBLOCK);
  auto [one, other] = socket_pair(SOCK_STREAM);
  const int before = one.get();
  unblock(one, O_WRONLY);
  EXPECT_EQ(one.get(), before);
  TempFolder folder;
  const std::string fifo = folder / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const UniqueFd named = open_file(fifo, O_RDWR);
  EXPECT_TRUE(is_named_fifo(named.get()));
  EXPECT_FALSE(is_named_fifo(write_end.get()));
}

}  // namespace
}  // namespace husk
