#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "tests/base/temp_folder.h"
#include "vm/qemu/command_line.h"
#include "vm/template/ram.h"
#include "vm/template/template_store.h"

namespace husk::vm {
namespace {

std::string page(char c) {
  return std::string(4096, c);
}

void put(int fd, off_t offset, const std::string& data) {
  ASSERT_EQ(pwrite(fd, data.data(), data.size(), offset), static_cast<ssize_t>(data.size()));
}

std::string get(int fd, off_t offset, size_t size) {
  std::string data(size, '?');
  EXPECT_EQ(pread(fd, data.data(), size, offset), static_cast<ssize_t>(size));
  return data;
}

TEST(Ram, CopiesDataAndLeavesHolesAndZerosOut) {
  constexpr off_t kFar = 200 << 20;
  UniqueFd from = make_ram(256 << 20), to = make_ram(256 << 20);
  put(from.get(), 0, page('a') + page(0) + page('b'));
  put(from.get(), kFar, page('c'));
  EXPECT_EQ(ram_bytes(from.get()), 4u * 4096);
  save_ram(from.get(), to.get());
  UniqueFd copy = make_ram(256 << 20);
  copy_ram(to.get(), copy.get());
  for (int fd : {to.get(), copy.get()}) {
    EXPECT_EQ(get(fd, 0, 3 * 4096), page('a') + page(0) + page('b'));
    EXPECT_EQ(get(fd, kFar, 4096), page('c'));
    EXPECT_EQ(ram_bytes(fd), 3u * 4096) << "a page of zeros is a hole";
  }
}

TEST(Ram, AnEmptyOneIsAllHoles) {
  UniqueFd from = make_ram(64 << 20), to = make_ram(64 << 20);
  save_ram(from.get(), to.get());
  copy_ram(from.get(), to.get());
  EXPECT_EQ(ram_bytes(to.get()), 0u);
}

TEST(Ram, ALostTailIsAnError) {
  UniqueFd from = make_ram(1 << 20);
  put(from.get(), 0, page('a'));
  UniqueFd closed(open("/dev/full", O_WRONLY | O_CLOEXEC));
  EXPECT_THROW(save_ram(from.get(), closed.get()), Error);
  EXPECT_THROW(copy_ram(from.get(), closed.get()), Error);
}

class TemplateStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    machine.vmm = folder / "qemu";
    machine.kernel = folder / "vmlinux";
    machine.initrd = folder / "initrd";
    for (const std::string& file : {machine.vmm, machine.kernel, machine.initrd}) write_file(file, "x", true);
  }
  TempFolder folder;
  MachineConfig machine;
};

TEST_F(TemplateStoreTest, TheKeyChangesWithAllThatGoesIn) {
  const std::string before = TemplateStore::key(machine);
  EXPECT_EQ(TemplateStore::key(machine), before);
  MachineConfig other = machine;
  other.memory_mib += 1;
  EXPECT_NE(TemplateStore::key(other), before);
  other = machine;
  other.vcpus = 2;
  EXPECT_NE(TemplateStore::key(other), before);
  other = machine;
  other.kernel_params = "quiet";
  EXPECT_NE(TemplateStore::key(other), before);
  write_file_atomic(machine.initrd, "y");  // another file of the same name and size
  EXPECT_NE(TemplateStore::key(machine), before);
}

TEST_F(TemplateStoreTest, WhatIsNotThereIsNoTemplate) {
  TemplateStore store(folder / "templates", 100);
  EXPECT_FALSE(store.open(machine));
  EXPECT_TRUE(store.list().empty());
  EXPECT_EQ(store.destroy(), 0u);
  EXPECT_FALSE(path_exists(folder / "templates")) << "looking makes nothing";
}

TEST_F(TemplateStoreTest, AHalfMadeOneIsNotUsedAndGoes) {
  TemplateStore store(folder / "templates", 100);
  std::string path = path_join(folder / "templates", TemplateStore::key(machine));
  make_dirs(path);
  write_file(path_join(path, "memory"), page('a'), true);
  EXPECT_EQ(store.list().size(), 1u);
  EXPECT_FALSE(store.open(machine));
  EXPECT_FALSE(path_exists(path));
}

TEST_F(TemplateStoreTest, TheOneUsedLastIsFirstThoughItWasInTheSameSecond) {
  TemplateStore store(folder / "templates", 100);
  for (long i : {3, 9, 1, 7, 5}) {
    const std::string path = path_join(folder / "templates", std::to_string(i));
    make_dirs(path);
    const timespec used{1000, i}, times[] = {used, used};
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }
  std::string keys;
  for (const TemplateInfo& info : store.list()) keys += info.key;
  EXPECT_EQ(keys, "97531");
}

TEST_F(TemplateStoreTest, WithoutACapNoneIsMade) {
  TemplateStore store(folder / "templates", 0);
  EXPECT_FALSE(store.make(machine, "/nonexistent"));
  EXPECT_FALSE(path_exists(folder / "templates"));
}

TEST_F(TemplateStoreTest, AMakerThatFailsLeavesNothing) {
  machine.vmm = "/bin/false";
  TemplateStore store(folder / "templates", 100);
  EXPECT_THROW(store.make(machine, "/nonexistent"), Error);
  EXPECT_TRUE(store.list().empty());
}

TEST_F(TemplateStoreTest, WhatFailedIsNotTriedAgainForAWhile) {
  machine.vmm = "/bin/false";
  TemplateStore store(folder / "templates", 100);
  const std::string failed = path_join(folder / "templates", TemplateStore::key(machine) + ".failed");
  const auto age = [&](time_t seconds) {
    const timespec then{time(nullptr) - seconds, 0}, times[] = {then, then};
    ASSERT_EQ(utimensat(AT_FDCWD, failed.c_str(), times, 0), 0);
  };
  EXPECT_THROW(store.make(machine, "/nonexistent"), Error);
  EXPECT_FALSE(store.make(machine, "/nonexistent"));
  EXPECT_THROW(store.make(machine, "/nonexistent", true), Error) << "asked for by name";
  age(deadline::kTemplateRetry.count());
  EXPECT_THROW(store.make(machine, "/nonexistent"), Error);
  EXPECT_FALSE(store.make(machine, "/nonexistent"));
  age(-1000);
  EXPECT_THROW(store.make(machine, "/nonexistent"), Error) << "the clock was set back";
  MachineConfig other = machine;
  other.vcpus = 2;
  EXPECT_THROW(store.make(other, "/nonexistent"), Error);
  EXPECT_TRUE(store.list().empty());
  store.destroy();
  EXPECT_TRUE(list_entries(folder / "templates").empty());
  EXPECT_THROW(store.make(machine, "/nonexistent"), Error);
}

TEST(SavedCommandLine, HasNoKernelAndItsRamByFd) {
  MachineConfig machine;
  machine.vmm = "qemu";
  machine.kernel = "/vmlinux";
  machine.initrd = "/initrd";
  QemuFds fds;
  fds.memory = 6;
  fds.saved = true;
  std::string line;
  for (const std::string& argument : qemu_arguments(machine, fds, 0)) line += argument + " ";
  EXPECT_NE(line.find("-incoming defer"), std::string::npos) << line;
  EXPECT_NE(line.find("memory-backend-file,mem-path=/proc/self/fd/6,id=ram,share=on"), std::string::npos)
      << line;
  EXPECT_EQ(line.find("vmlinux"), std::string::npos) << line;
  EXPECT_EQ(line.find("/initrd"), std::string::npos) << line;
}

}  // namespace
}  // namespace husk::vm
