// Input that can be read only once: pipes, the standard input, and every variant of gzip files.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "cuvae/dataset.h"
#include "dataset_files.h"
#include "error_text.h"
#include "temp_dir.h"

namespace cuvae::test {
namespace {

const std::string kIdx = idx(8, {2, 3, 1}, count_up(6));

// gzip -N with every optional field: FEXTRA, FNAME, FCOMMENT and FHCRC (RFC 1952, section 2.3.1).
std::string gzip_with_all_fields(const std::string& bytes) {
  std::string header = {'\x1f', '\x8b', 8, 0x1e, 1, 2, 3, 4, 0, 3};
  header += std::string("\4\0abcd", 6) + std::string("name\0", 5) + std::string("comment\0", 8);
  const auto crc = crc32(0, reinterpret_cast<const Bytef*>(header.data()), static_cast<uInt>(header.size()));
  header += {static_cast<char>(crc & 0xff), static_cast<char>(crc >> 8 & 0xff)};
  return header + gzip(bytes).substr(10);
}

std::string bytes_of(const Dataset& set) {
  return {static_cast<const char*>(set.data()), static_cast<std::size_t>(set.rows() * set.cols())};
}

// A named pipe; another thread writes the bytes.
class Pipe {
 public:
  explicit Pipe(std::string bytes) : path_(dir_ / "pipe") {
    if (::mkfifo(path_.c_str(), 0600) != 0) throw std::runtime_error("mkfifo");
    writer_ = std::thread([this, bytes = std::move(bytes)] {
      ::signal(SIGPIPE, SIG_IGN);  // the reader may stop before the end
      const int fd = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
      for (std::size_t at = 0; at < bytes.size();) {
        const ssize_t sent = ::write(fd, bytes.data() + at, std::min<std::size_t>(bytes.size() - at, 1000));
        if (sent < 0) break;
        at += static_cast<std::size_t>(sent);
      }
      ::close(fd);
    });
  }
  ~Pipe() { writer_.join(); }

  const std::filesystem::path& path() const { return path_; }

 private:
  TempDir dir_;
  std::filesystem::path path_;
  std::thread writer_;
};

TEST(Streams, PipesAreReadLikeFiles) {
  const std::string large = count_up(300000), images = idx(8, {300, 1000}, large);
  for (const std::string& bytes : {images, gzip(images), gzip(images.substr(0, 5)) + gzip(images.substr(5))}) {
    const Pipe pipe(bytes);
    const Dataset set = Dataset::open(pipe.path(), Split::train);
    EXPECT_EQ(set.name(), pipe.path().string());
    EXPECT_EQ(set.rows(), 300);
    EXPECT_EQ(bytes_of(set), large);
  }
}

TEST(Streams, PipesGiveTheErrorsOfFiles) {
  const auto error = [](const std::string& bytes) {
    const Pipe pipe(bytes);
    const std::string text = error_text([&] { Dataset::open(pipe.path(), Split::train); });
    EXPECT_TRUE(text.starts_with(pipe.path().string() + ": ")) << text;
    return text.substr(std::min(text.size(), pipe.path().string().size() + 2));
  };
  EXPECT_EQ(error(""), "the file is empty (0 bytes)");
  EXPECT_EQ(error(kIdx + "x"), "trailing bytes at byte 22: the header states 22 bytes in total");
  for (std::size_t size = 16; size < kIdx.size(); ++size) {
    EXPECT_EQ(error(kIdx.substr(0, size)),
              "truncated at byte " + std::to_string(size) + ": the header states 22 bytes");
  }
}

TEST(Streams, AnEndlessPipeIsReadNoFurtherThanNeeded) {
  const Pipe pipe(kIdx + std::string(100 << 20, 'x'));
  expect_error([&] { Dataset::open(pipe.path(), Split::train); }, "trailing bytes at byte 22");
}

TEST(Streams, GzipAsGzipAcceptsIt) {
  TempDir dir;
  const std::string zeros(100000, '\0');
  for (const std::string& bytes :
       {gzip(kIdx) + '\0', gzip(kIdx) + zeros, gzip(kIdx.substr(0, 9)) + gzip("") + gzip(kIdx.substr(9)) + zeros,
        gzip_with_all_fields(kIdx), gzip(kIdx.substr(0, 9)) + gzip_with_all_fields(kIdx.substr(9))}) {
    EXPECT_EQ(bytes_of(Dataset::open(write(dir / "x", bytes), Split::train)), count_up(6));
  }
}

TEST(Streams, EveryPrefixOfAGzipWithAllFieldsIsTruncated) {
  TempDir dir;
  const std::string bytes = gzip_with_all_fields(kIdx);
  for (std::size_t size = 2; size < bytes.size(); ++size) {
    expect_error([&] { Dataset::open(write(dir / "x", bytes.substr(0, size)), Split::train); },
                 "truncated at byte " + std::to_string(size) + " of the compressed bytes");
  }
}

}  // namespace
}  // namespace cuvae::test
