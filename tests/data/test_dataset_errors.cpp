// Invalid data sets: each gives one line with the file and, if there is one, the byte offset. Nothing crashes or hangs.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <limits>
#include <random>

#include "cuvae/dataset.h"
#include "cuvae/error.h"
#include "dataset_files.h"
#include "temp_dir.h"

namespace cuvae::test {
namespace {

template <typename Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string open_error(const std::filesystem::path& path) {
  return error_of([&] { Dataset::open(path, Split::train); });
}

// The error of a file with these bytes, after its name.
std::string error_in(const std::string& bytes) {
  TempDir dir;
  const auto path = write(dir / "x", bytes);
  const std::string text = open_error(path), prefix = path.string() + ": ";
  EXPECT_TRUE(text.starts_with(prefix)) << text;
  EXPECT_EQ(text.find('\n'), text.npos) << text;
  return text.substr(std::min(prefix.size(), text.size()));
}

std::string error_in_npy(const std::string& dict) { return error_in(npy(1, dict, count_up(6))); }

const std::string kIdx = idx(8, {2, 3, 1}, count_up(6));
const std::string kNpy = npy(1, npy_dict("<f4", "(2, 3)"), float_bytes({1, 2, 3, 4, 5, 6}, std::endian::little));

TEST(DatasetErrors, NamesWhatCannotBeOpened) {
  TempDir dir;
  const auto missing = dir / "missing";
  EXPECT_EQ(open_error(missing), missing.string() + ": cannot read: No such file or directory");
  const auto empty = write(dir / "empty", "");
  EXPECT_EQ(open_error(empty), empty.string() + ": the file is empty (0 bytes)");
  EXPECT_EQ(open_error("/dev/null"), "/dev/null: cannot read: not a regular file");
  EXPECT_EQ(open_error("/dev/zero"), "/dev/zero: cannot read: not a regular file");
}

TEST(DatasetErrors, NamesWhatAFolderLacks) {
  TempDir dir;
  EXPECT_EQ(open_error(dir.path()),
            dir.path().string() +
                ": no images in this folder: looked for train-images-idx3-ubyte, and the names of EMNIST and QMNIST, "
                "with or without .gz, here, in raw, and in MNIST/raw and the like");
  EXPECT_TRUE(open_labels(dir.path(), Split::train).empty());
}

TEST(DatasetErrors, EveryPrefixIsTruncated) {
  for (const std::string& bytes : {kIdx, kNpy, gzip(kIdx), gzip(kNpy)}) {
    for (std::size_t size = 1; size < bytes.size(); ++size) {
      EXPECT_NE(error_in(bytes.substr(0, size)), "no error") << size << " of " << bytes.size();
    }
  }
  for (std::size_t size = 4; size < kIdx.size(); ++size) {
    const std::string promised = size < 16 ? "the IDX header has 16 bytes" : "the header states 22 bytes";
    const std::string at = "truncated at byte " + std::to_string(size);
    EXPECT_EQ(error_in(kIdx.substr(0, size)), at + ": " + promised);
    EXPECT_EQ(error_in(gzip(kIdx.substr(0, size))), at + " of the decompressed stream: " + promised);
  }
  const std::string zipped = gzip(kIdx), size = std::to_string(zipped.size() - 3);
  EXPECT_EQ(error_in(zipped.substr(0, zipped.size() - 3)),
            "truncated at byte " + size + " of the compressed bytes: the compressed stream is not complete");
}

TEST(DatasetErrors, TrailingBytes) {
  EXPECT_EQ(error_in(kIdx + "x"), "trailing bytes at byte 22: the header states 22 bytes in total");
  EXPECT_EQ(error_in(gzip(kIdx + "xyz")),
            "trailing bytes at byte 22 of the decompressed stream: the header states 22 bytes in total");
  const std::string zipped = gzip(kIdx), at = "trailing bytes at byte " + std::to_string(zipped.size());
  EXPECT_EQ(error_in(zipped + "garbage"), at + " of the compressed bytes: the gzip stream ends there");
  EXPECT_EQ(error_in(zipped + std::string(70000, '\0') + "garbage"),
            "trailing bytes at byte " + std::to_string(zipped.size() + 70000) +
                " of the compressed bytes: the gzip stream ends before them");
  EXPECT_NE(error_in(zipped + "\x1f").find("truncated at byte"), std::string::npos);
  EXPECT_NE(error_in(zipped + "\x1f?").find("corrupt compressed stream at byte"), std::string::npos);
}

TEST(DatasetErrors, ForeignFiles) {
  EXPECT_EQ(error_in("\x89HDF\r\n"),
            "unknown format (must be IDX, NPY, NPZ or CSV) at byte 0: the file begins with 89 48 44 46");
  EXPECT_NE(error_in("PK\3\4....").find("truncated at byte 8"), std::string::npos);
  EXPECT_EQ(error_in(gzip("")), "truncated at byte 0 of the decompressed stream: a format's magic number has 4 bytes");
  EXPECT_NE(error_in(gzip(gzip(kIdx))).find("at byte 0 of the decompressed stream: the file begins with 1f 8b"),
            std::string::npos);
}

TEST(DatasetErrors, IdxHeaders) {
  EXPECT_EQ(error_in(idx(8, {4}, "abcd")),
            "one dimension at byte 4: 4 values, but examples are rows [N, D]: give the images if these are labels, or "
            "save x.reshape(-1, 1)");
  EXPECT_EQ(error_in(idx(8, {}, "abcd")), "no dimensions at byte 3: the IDX header says 0");
  EXPECT_EQ(error_in(idx(8, {2, 0, 3}, "abcd")), "an empty dimension at byte 4: the shape is 2 x 0 x 3");
  EXPECT_EQ(
      error_in(idx(10, {1, 1}, "12345678")),
      "unsupported IDX element type at byte 2: it is 10, but must be 8 (uint8), 9 (int8), 11 (int16), 12 (int32), "
      "13 (float32) or 14 (float64)");
}

TEST(DatasetErrors, NpyHeaders) {
  EXPECT_EQ(error_in_npy(npy_dict("|u1", "()")), "no dimensions at byte 61: the shape is ()");
  EXPECT_EQ(error_in_npy(npy_dict("|u1", "(0, 6)")), "an empty dimension at byte 59: the shape is 0 x 6");
  EXPECT_EQ(error_in_npy("{'descr': '|u1', 'descr': '|u1'}"),
            "unexpected key at byte 34: \"descr\" is unknown or given twice");
  for (const std::string dict :
       {"", "{", "{}", "{,}", "[]", "{'descr'}", "{'descr: '|u1'", "{'descr': [('a', '|u1')], }", "{'shape': (2, 3)}",
        "{'descr': '|u1', 'fortran_order': 0, 'shape': (2, 3)}", "{'descr': '|u1', 'fortran_order': False, 'shape': 6}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2 3)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-2, -3)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2.0, 3)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3)} 1",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), 'extra': 1}", "{'\n\x01\xff': 1}"}) {
    EXPECT_NE(error_in_npy(dict).find(" at byte "), std::string::npos) << dict;
  }
  std::string version = kNpy;
  version[6] = 4;
  EXPECT_EQ(error_in(version), "unsupported NPY version at byte 6: 4.0, but must be 1.0, 2.0 or 3.0");
  std::string endless = npy(2, npy_dict("|u1", "(2, 3)"), count_up(6));
  endless.replace(8, 4, "\xff\xff\xff\xff");
  EXPECT_EQ(error_in(endless), "NPY header too long at byte 8: 4294967295 bytes, but at most 65536 are read");
}

TEST(DatasetErrors, AbsurdHeadersAllocateNothing) {
  const auto peak_kib = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  const auto before = peak_kib();
  const std::string terabytes = idx(8, {1u << 31, 1u << 12, 1}, count_up(6));
  EXPECT_EQ(error_in(terabytes), "truncated at byte 22: the header states 8796093022224 bytes");
  EXPECT_EQ(error_in(gzip(terabytes)),
            "truncated at byte 22 of the decompressed stream: the header states 8796093022224 bytes");
  EXPECT_EQ(error_in(idx(8, {~0u, ~0u, ~0u}, "")),
            "shape too large at byte 4: 4294967295 x 4294967295 x 4294967295 values overflow 63 bits");
  EXPECT_NE(error_in(idx(8, std::vector<std::uint32_t>(255, ~0u), "")).find("shape too large"), std::string::npos);
  // Sizes whose product wraps around to a small number, and the largest one that does not.
  EXPECT_NE(error_in_npy(npy_dict("|u1", "(4294967296, 4294967296)")).find("shape too large"), std::string::npos);
  EXPECT_NE(error_in_npy(npy_dict("<f4", "(4611686018427387905, 1)")).find("shape too large"), std::string::npos);
  EXPECT_NE(error_in_npy(npy_dict("|u1", "(9223372036854775807, 1)")).find("shape too large"), std::string::npos);
  EXPECT_NE(error_in_npy(npy_dict("|u1", "(9223372036854775000, 1)")).find("truncated at byte"), std::string::npos);
  EXPECT_NE(error_in_npy(npy_dict("|u1", "(18446744073709551616, 1)")).find("bad NPY shape"), std::string::npos);
  // A bomb: 512 MiB of zeros after a header that states six bytes.
  std::string bomb = gzip(idx(8, {2, 3}, ""));
  const std::string member = gzip(std::string(1 << 20, '\0'));
  for (int i = 0; i < 512; ++i) bomb += member;
  EXPECT_NE(error_in(bomb).find("trailing bytes"), std::string::npos);
  EXPECT_LT(peak_kib() - before, 64 * 1024);
}

TEST(DatasetErrors, ValuesThatAreNotFinite) {
  constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(error_in(idx(13, {2, 3}, float_bytes({0, 1, 2, 3, -kInf, kNan}, std::endian::big))),
            "value 1 of example 1 is -inf, but must be finite");
  EXPECT_EQ(error_in(npy(1, npy_dict("<f4", "(2, 3)"), float_bytes({0, 1, kNan, 3, 4, 5}, std::endian::little))),
            "value 2 of example 0 is nan, but must be finite");
  EXPECT_EQ(error_of([&] {
              Dataset::from_memory(std::vector<float>{0, kInf}, 2, 1);
            }),
            "memory: value 0 of example 1 is inf, but must be finite");
}

TEST(DatasetErrors, Labels) {
  TempDir dir;
  const auto labels = dir / "train-labels-idx1-ubyte", images = dir / "train-images-idx3-ubyte";
  const auto error = [&] { return error_of([&] { open_labels(dir.path(), Split::train); }); };
  write(labels, idx(8, {2, 1, 1}, "ab"));
  EXPECT_EQ(error(), labels.string() + ": not labels at byte 4: 3 dimensions, but labels are integers in one or two");
  write(labels, idx(8, {5}, "ab"));
  EXPECT_EQ(error(), labels.string() + ": truncated at byte 10: the header states 13 bytes");
  write(labels, idx(8, {2}, "ab"));
  EXPECT_EQ(error(), "no error");
  write(images, idx(8, {3, 1, 1}, "abc"));
  EXPECT_EQ(error(),
            labels.string() + ": wrong number of labels at byte 4: 2, but " + images.string() + " holds 3 images");
}

TEST(DatasetErrors, WrongUse) {
  EXPECT_EQ(error_of([] { Dataset::from_memory(std::vector<std::uint8_t>(5), 2, 3); }),
            "dataset: 5 values do not fill [2, 3]");
  EXPECT_EQ(error_of([] { Dataset::from_memory(std::vector<float>(), 0, 3); }), "dataset: 0 values do not fill [0, 3]");
  const Dataset set = Dataset::from_memory(std::vector<std::uint8_t>(6), 2, 3);
  EXPECT_EQ(error_of([&] { set.row(2); }), "dataset: row is 2 but must be from 0 to 1");
  EXPECT_EQ(error_of([&] { set.mean(-1); }), "dataset: column is -1 but must be from 0 to 2");
}

// A damaged file gives an error or a valid data set. Sanitizers find everything else.
void open_damaged(const std::filesystem::path& path, const std::string& bytes) {
  try {
    const Dataset set = Dataset::open(write(path, bytes), Split::train);
    EXPECT_EQ(set.image_height() * set.image_width() * set.image_channels(), set.cols());
    set.crc32();
    for (Index i = 0; i < set.rows(); ++i) set.row(i);
  } catch (const Error& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with(path.string())) << error.what();
  }
}

TEST(DatasetErrors, FlippedBitsOfGzipGiveAnErrorOrTheSameContent) {
  TempDir dir;
  const std::string zipped = gzip(kIdx);
  for (std::size_t bit = 0; bit < 8 * zipped.size(); ++bit) {
    std::string bytes = zipped;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
    const auto path = write(dir / "x.gz", bytes);
    try {
      const Dataset set = Dataset::open(path, Split::train);
      EXPECT_EQ(std::string(static_cast<const char*>(set.data()), 6), count_up(6)) << "bit " << bit;
    } catch (const Error& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with(path.string())) << error.what();
    }
  }
}

TEST(DatasetErrors, RandomDamageNeverCrashes) {
  TempDir dir;
  std::mt19937 random(1);
  for (const std::string& good : {kIdx, kNpy, gzip(kNpy), npy(2, npy_dict("|u1", "(2, 3)"), count_up(6))}) {
    for (int i = 0; i < 2000; ++i) {
      std::string bytes = good;
      for (unsigned changes = 1 + random() % 4; changes > 0; --changes) {
        const std::size_t at = random() % bytes.size();
        if (random() % 4 == 0) {
          bytes.insert(at, 1, "0(),'{}:"[random() % 8]);
        } else {
          bytes[at] = static_cast<char>(random());
        }
      }
      open_damaged(dir / "x", bytes);
    }
  }
}

}  // namespace
}  // namespace cuvae::test
