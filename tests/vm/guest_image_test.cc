#include <gtest/gtest.h>

#include "tests/base/temp_folder.h"
#include "vm/sizing/sizing.h"

namespace husk::vm {
namespace {

class GuestImageTest : public ::testing::Test {
 protected:
  void make(const std::string& path) {
    make_dirs(dir_name(folder / path));
    write_file(folder / path, "x", true);
  }
  GuestImage find() { return find_guest(options, folder / "bin"); }

  TempFolder folder;
  spec::Options options;
};

TEST_F(GuestImageTest, NothingThere) {
  try {
    find();
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kNotFound);
    EXPECT_NE(e.message().find("make guest"), std::string::npos);
    EXPECT_NE(e.message().find(folder / "guest"), std::string::npos);
  }
}

TEST_F(GuestImageTest, OursBeforeDebians) {
  make("guest/vmlinux-debian");
  make("guest/initrd-debian.cpio");
  make("guest/vmlinux");  // without its initrd: not usable
  EXPECT_EQ(find().kernel, folder / "guest/vmlinux-debian");
  make("guest/initrd.cpio");
  EXPECT_EQ(find().kernel, folder / "guest/vmlinux");
  EXPECT_EQ(find().initrd, folder / "guest/initrd.cpio");
}

TEST_F(GuestImageTest, AnInstalledOneFirst) {
  make("guest/vmlinux");
  make("guest/initrd.cpio");
  make("bin/guest/vmlinux-debian");
  make("bin/guest/initrd-debian.cpio");
  EXPECT_EQ(find().kernel, folder / "bin/guest/vmlinux-debian");
}

TEST_F(GuestImageTest, Options) {
  make("guest/vmlinux");
  make("guest/initrd.cpio");
  make("mine");
  options.kernel = folder / "mine";
  EXPECT_EQ(find().kernel, options.kernel);
  EXPECT_EQ(find().initrd, folder / "guest/initrd.cpio");
  options.initrd = folder / "missing";
  EXPECT_THROW(find(), Error);
  options.initrd = folder / "mine";
  EXPECT_EQ(find().initrd, options.initrd);
}

}  // namespace
}  // namespace husk::vm
