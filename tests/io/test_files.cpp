// Files appear completely or not at all, and only regular files are read.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <future>
#include <stdexcept>
#include <string>
#include <vector>

#include "error_text.h"
#include "io/atomic_file.h"
#include "io/input_file.h"
#include "temp_dir.h"

namespace cuvae::test {
namespace {

namespace fs = std::filesystem;

void write_text(const fs::path& path, const std::string& text) {
  write_file_atomically(path, [&](std::ostream& out) { out << text; });
}

std::string read_text(const fs::path& path) { return read_file(path, 1 << 24); }

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  return names;
}

/// Every failure must leave exactly these files.
void expect_only_old_file(const TempDir& dir) {
  EXPECT_EQ(names_in(dir.path()), std::vector<std::string>{"file"});
  EXPECT_EQ(read_text(dir.path() / "file"), "old");
}

/// Makes writes beyond a file size fail, like on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  void (*old_handler_)(int);
  rlimit old_{};
};

TEST(AtomicFile, WritesAndReplaces) {
  const TempDir dir;
  const fs::path path = dir.path() / "file";
  write_text(path, "old");
  EXPECT_EQ(read_text(path), "old");
  write_text(path, "");
  EXPECT_EQ(read_text(path), "");
  EXPECT_EQ(names_in(dir.path()).size(), 1U);
}

TEST(AtomicFile, WritesMoreThanItsBuffer) {
  const TempDir dir;
  std::string text;
  for (int i = 0; i < 1'000'000; ++i) text += std::to_string(i);
  write_file_atomically(dir.path() / "file", [&](std::ostream& out) {
    out.put(text[0]);
    out.write(text.data() + 1, 3'000'000);
    out << text.substr(3'000'001);
  });
  EXPECT_TRUE(read_text(dir.path() / "file") == text);
}

TEST(AtomicFile, KeepsTheOldFileWhenTheCallbackThrows) {
  const TempDir dir;
  write_text(dir.path() / "file", "old");
  const auto throws = [](std::ostream& out) {
    out << std::string(3'000'000, 'x');
    throw std::out_of_range("from the callback");
  };
  EXPECT_THROW(write_file_atomically(dir.path() / "file", throws), std::out_of_range);
  expect_only_old_file(dir);
}

TEST(AtomicFile, KeepsTheOldFileWhenTheCallbackMarksTheStream) {
  const TempDir dir;
  const fs::path path = dir.path() / "file";
  write_text(path, "old");
  const auto fails = [](std::ostream& out) { out.setstate(std::ios::failbit); };
  expect_error([&] { write_file_atomically(path, fails); }, path.string() + ": cannot write");
  expect_only_old_file(dir);
}

TEST(AtomicFile, KeepsTheOldFileWhenTheDiskIsFull) {
  const TempDir dir;
  const fs::path path = dir.path() / "file";
  write_text(path, "old");
  // Failures while a buffer is written, in a short write, and in the last flush; also if the callback ignores errors.
  for (const std::size_t bytes : {4'000'000, 2'500'000, 1'600'000}) {
    const FileSizeLimit limit(1'500'000);
    const auto write = [&](std::ostream& out) {
      out << std::string(bytes, 'x');
      out.clear();
    };
    expect_error([&] { write_file_atomically(path, write); }, path.string() + ": cannot write: File too large");
  }
  expect_only_old_file(dir);
}

TEST(AtomicFile, KeepsTheOldFileWhenTheProcessIsKilled) {
  const TempDir dir;
  write_text(dir.path() / "file", "old");
  const pid_t child = ::fork();
  if (child == 0) {
    write_file_atomically(dir.path() / "file", [](std::ostream& out) {
      out << std::string(3'000'000, 'x');
      std::raise(SIGKILL);
    });
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_EQ(read_text(dir.path() / "file"), "old");
}

TEST(AtomicFile, NamesTheFolderThatCannotBeWritten) {
  const TempDir dir;
  write_text(dir.path() / "file", "old");
  const fs::path below_file = dir.path() / "file" / "below", nowhere = dir.path() / "no folder" / "file";
  expect_error([&] { write_text(below_file, "new"); }, below_file.string() + ": cannot write: Not a directory");
  expect_error([&] { write_text(nowhere, "new"); }, nowhere.string() + ": cannot write: No such file or directory");
  expect_error([&] { write_text("", "new"); }, "cannot write");
  expect_only_old_file(dir);
}

TEST(AtomicFile, ReplacesNoFolderAndNoDevice) {
  const TempDir dir;
  const fs::path fifo = dir.path() / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  expect_error([&] { write_text(fifo, "new"); }, "not a regular file");
  expect_error([&] { write_text(dir.path(), "new"); }, "not a regular file");
  expect_error([&] { write_text(dir.path() / "", "new"); }, "not a regular file");
  EXPECT_EQ(names_in(dir.path()), std::vector<std::string>{"fifo"});
}

TEST(AtomicFile, FollowsSymbolicLinks) {
  const TempDir dir;
  fs::create_directory(dir.path() / "other");
  write_text(dir.path() / "other" / "file", "old");
  fs::create_symlink("other/file", dir.path() / "link");
  write_text(dir.path() / "link", "new");
  EXPECT_TRUE(fs::is_symlink(dir.path() / "link"));
  EXPECT_EQ(read_text(dir.path() / "other" / "file"), "new");
}

TEST(AtomicFile, ThreadsWriteTheSameFile) {
  const TempDir dir;
  const fs::path path = dir.path() / "file";
  const auto write_often = [&](char letter) {
    for (int i = 0; i < 20; ++i) write_text(path, std::string(10'000, letter));
  };
  auto other = std::async(std::launch::async, write_often, 'a');
  write_often('b');
  other.get();
  const std::string text = read_text(path);
  EXPECT_EQ(text, std::string(10'000, text.at(0)));
  EXPECT_EQ(names_in(dir.path()).size(), 1U);
}

TEST(InputFile, RefusesWhatItCannotRead) {
  const TempDir dir;
  const fs::path file = dir.path() / "file", fifo = dir.path() / "fifo", missing = dir.path() / "missing";
  write_text(file, "0123456789");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  expect_error([&] { read_text(missing); }, missing.string() + ": cannot read: No such file or directory");
  expect_error([&] { read_text(dir.path()); }, dir.path().string() + ": cannot read: not a regular file");
  expect_error([&] { read_text(fifo); }, fifo.string() + ": cannot read: not a regular file");
  expect_error([&] { read_file(file, 9); }, file.string() + ": is 10 bytes, more than the 9 allowed");
  EXPECT_EQ(read_file(file, 10), "0123456789");
}

TEST(InputFile, NamesTheByteWhereTheFileEnds) {
  const TempDir dir;
  write_text(dir.path() / "file", "0123456789");
  InputFile file(dir.path() / "file");
  char bytes[16];
  file.read(bytes, 4);
  expect_error([&] { file.read(bytes, 7); }, "ends at byte 10, 1 bytes too early");
}

}  // namespace
}  // namespace cuvae::test
