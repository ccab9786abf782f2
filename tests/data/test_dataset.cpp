// Valid data sets of every format.
#include "cuvae/dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <memory>
#include <numeric>
#include <utility>

#include "data/bytes/mapped_file.h"
#include "data/formats/npy.h"
#include "dataset_files.h"
#include "temp_dir.h"

namespace cuvae::test {
namespace {

const std::filesystem::path kBundled = std::filesystem::path(CUVAE_SOURCE_DIR) / "data" / "mnist-10k";
const std::vector<float> kFloats = {0.f, 0.25f, -1.5f, 1e-30f, 3e30f, 1.f};

std::string bytes_of(const Dataset& set) {
  return {static_cast<const char*>(set.data()),
          static_cast<std::size_t>(set.rows() * set.cols()) * size_of(set.dtype())};
}

std::vector<float> floats_of(const Dataset& set) {
  EXPECT_EQ(set.dtype(), DType::f32);
  const float* const values = static_cast<const float*>(set.data());
  return {values, values + set.rows() * set.cols()};
}

// The file that is mapped at an address, "" for the program's own memory. Lines of /proc/self/maps are "begin-end perms
// offset dev inode path".
std::string mapped_path(const void* address) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR, &begin, &end) != 2 || wanted < begin || wanted >= end)
      continue;
    const std::size_t slash = line.find('/');
    return slash == line.npos ? "" : line.substr(slash);
  }
  return "";
}

struct Shape {
  std::string dims;
  Index cols, height, width, channels = 1;
  bool channels_first = false;
};

class NpyShape : public testing::TestWithParam<Shape> {};

TEST_P(NpyShape, GivesTheImageShape) {
  const auto& [dims, cols, height, width, channels, channels_first] = GetParam();
  TempDir dir;
  const std::string values = count_up(static_cast<std::size_t>(2 * cols));
  const Dataset set = Dataset::open(write(dir / "x.npy", npy(1, npy_dict("|u1", dims), values)), Split::train);
  EXPECT_EQ(set.rows(), 2);
  EXPECT_EQ(set.cols(), cols);
  EXPECT_EQ(set.image_height(), height);
  EXPECT_EQ(set.image_width(), width);
  EXPECT_EQ(set.image_channels(), channels);
  EXPECT_EQ(set.channels_first(), channels_first);
  EXPECT_EQ(bytes_of(set), values);
}

INSTANTIATE_TEST_SUITE_P(Dataset, NpyShape,
                         testing::Values(Shape{"(2, 6)", 6, 1, 6}, Shape{"(2, 9)", 9, 3, 3}, Shape{"(2, 1)", 1, 1, 1},
                                         Shape{"(2, 3, 5)", 15, 3, 5}, Shape{"(2, 6, 5, 3)", 90, 6, 5, 3},
                                         Shape{"(2, 6, 5, 1)", 30, 6, 5}, Shape{"(2, 1, 6, 5)", 30, 6, 5},
                                         Shape{"(2, 3, 6, 5)", 90, 6, 5, 3, true}, Shape{"(2, 2, 6, 5)", 60, 12, 5},
                                         Shape{"(2, 6, 5, 4)", 120, 6, 20}, Shape{"(2, 2, 3, 2, 3)", 36, 2, 18}));

TEST(Dataset, ReadsIdxImages) {
  TempDir dir;
  const std::string values = count_up(24), bytes = idx(8, {2, 3, 4}, values);
  for (const auto& path : {write(dir / "plain", bytes), write(dir / "zipped", gzip(bytes)),
                           write(dir / "members", gzip(bytes.substr(0, 9)) + gzip("") + gzip(bytes.substr(9)))}) {
    const Dataset set = Dataset::open(path, Split::test);
    EXPECT_EQ(set.dtype(), DType::u8);
    EXPECT_EQ(set.rows(), 2);
    EXPECT_EQ(set.cols(), 12);
    EXPECT_EQ(set.image_height(), 3);
    EXPECT_EQ(set.image_width(), 4);
    EXPECT_EQ(set.name(), path.string());
    EXPECT_EQ(bytes_of(set), values);
  }
}

TEST(Dataset, ReadsFloats) {
  TempDir dir;
  const std::string little = float_bytes(kFloats, std::endian::little), big = float_bytes(kFloats, std::endian::big);
  std::vector<std::string> files = {idx(13, {3, 2}, big), npy(1, npy_dict(">f4", "(3, 2)"), big)};
  for (const int version : {1, 2, 3}) files.push_back(npy(version, npy_dict("<f4", "(3, 2)"), little));
  for (const std::string& bytes : files) {
    for (const auto& path : {write(dir / "plain", bytes), write(dir / "zipped", gzip(bytes))}) {
      const Dataset set = Dataset::open(path, Split::train);
      EXPECT_EQ(set.rows(), 3);
      EXPECT_EQ(floats_of(set), kFloats);
      EXPECT_FALSE(set.within_unit_interval());
    }
  }
}

TEST(Dataset, ReadsEveryIdxType) {
  TempDir dir;
  const std::pair<char, std::string> files[] = {{9, "\x80\x05"},
                                                {11, std::string("\xff\x80\0\5", 4)},
                                                {12, std::string("\xff\xff\xff\x80\0\0\0\5", 8)},
                                                {14, std::string("\xc0\x60\0\0\0\0\0\0\x40\x14\0\0\0\0\0\0", 16)}};
  for (const auto& [type, values] : files) {
    const Dataset set = Dataset::open(write(dir / "x", idx(type, {2, 1}, values)), Split::train);
    EXPECT_EQ(floats_of(set), (std::vector<float>{-128, 5})) << int{type};
  }
}

TEST(Dataset, AcceptsEveryHonestSpellingOfTheNpyHeader) {
  TempDir dir;
  for (const std::string dict : {"{'shape':(2,3),'fortran_order':False,'descr':'|u1'}",
                                 "{\"descr\": \"|u1\", \"fortran_order\": False, \"shape\": (2, 3)}",
                                 "{'descr': '|u1', 'fortran_order': False, 'shape': (2L, 3L), }"}) {
    EXPECT_EQ(bytes_of(Dataset::open(write(dir / "x", npy(1, dict, count_up(6))), Split::train)), count_up(6)) << dict;
  }
}

TEST(Dataset, MapsLargeFilesThatNeedNoConversion) {
  TempDir dir;
  const std::size_t before = std::exchange(largest_read(), 16);
  const std::string floats = float_bytes(kFloats, std::endian::little);
  const auto check = [](const std::filesystem::path& path, bool mapped) {
    const Dataset set = Dataset::open(path, Split::train);
    EXPECT_EQ(mapped_path(set.data()), mapped ? std::filesystem::canonical(path).string() : "");
  };
  check(write(dir / "u8.idx", idx(8, {2, 3}, count_up(6))), true);
  check(write(dir / "u8.npy", npy(1, npy_dict("|u1", "(2, 3)"), count_up(6))), true);
  check(write(dir / "f4.npy", npy(2, npy_dict("<f4", "(2, 3)"), floats)), true);
  check(write(dir / "f4.npy.gz", gzip(npy(2, npy_dict("<f4", "(2, 3)"), floats))), false);
  largest_read() = before;
  check(write(dir / "small.npy", npy(1, npy_dict("|u1", "(2, 3)"), count_up(6))), false);
}

TEST(Dataset, CopiesFloatsThatAreNotAligned) {
  TempDir dir;
  std::string bytes = npy(1, npy_dict("<f4", "(3, 2)"), "");
  bytes[8] = static_cast<char>(bytes[8] + 1);  // the header's length
  const auto path = write(dir / "odd.npy", bytes + ' ' + float_bytes(kFloats, std::endian::little));
  const Dataset set = Dataset::open(path, Split::train);
  EXPECT_EQ(floats_of(set), kFloats);
  EXPECT_EQ(mapped_path(set.data()), "");
}

TEST(Dataset, OutlivesTheFileAndItsFirstOwner) {
  TempDir dir;
  const auto path = write(dir / "x", idx(8, {2, 3}, count_up(6)));
  auto first = std::make_unique<Dataset>(Dataset::open(path, Split::train));
  const Dataset second = *first;
  first.reset();
  std::filesystem::remove(path);
  EXPECT_EQ(bytes_of(second), count_up(6));
}

TEST(Dataset, FindsEachNameInAFolder) {
  for (const Split split : {Split::train, Split::test}) {
    const auto stems =
        split == Split::train ? std::vector<std::string>{"train"} : std::vector<std::string>{"t10k", "test"};
    for (const std::string& stem : stems) {
      for (const std::string separator : {"-", "."}) {
        for (const std::string suffix : {"", ".gz"}) {
          TempDir dir;
          const auto pack = [&](const std::string& bytes) { return suffix.empty() ? bytes : gzip(bytes); };
          write(dir / (stem + "-images" + separator + "idx3-ubyte" + suffix), pack(idx(8, {3, 2, 2}, count_up(12))));
          EXPECT_TRUE(open_labels(dir.path(), split).empty());
          write(dir / (stem + "-labels" + separator + "idx1-ubyte" + suffix), pack(idx(8, {3}, "\7\1\2")));
          EXPECT_EQ(bytes_of(Dataset::open(dir.path(), split)), count_up(12));
          EXPECT_EQ(open_labels(dir.path(), split), (std::vector<std::uint8_t>{7, 1, 2}));
        }
      }
    }
  }
}

TEST(Dataset, PrefersPlainFilesAndSkipsFoldersOfTheSameName) {
  TempDir dir;
  std::filesystem::create_directory(dir / "train-images-idx3-ubyte");
  write(dir / "train-images.idx3-ubyte", idx(8, {1, 1, 1}, "p"));
  write(dir / "train-images.idx3-ubyte.gz", gzip(idx(8, {1, 1, 1}, "z")));
  EXPECT_EQ(bytes_of(Dataset::open(dir.path(), Split::train)), "p");
}

TEST(Dataset, ReadsTheBundledDigits) {
  const Dataset train = Dataset::open(kBundled, Split::train), test = Dataset::open(kBundled, Split::test);
  EXPECT_EQ(train.rows(), 10000);
  EXPECT_EQ(test.rows(), 2000);
  const std::pair<const Dataset&, double> mean_pixels[] = {{train, 0.131125750300}, {test, 0.120885919368}};
  for (const auto& [set, mean_pixel] : mean_pixels) {
    EXPECT_EQ(set.cols(), 784);
    EXPECT_EQ(set.image_height(), 28);
    EXPECT_EQ(set.image_width(), 28);
    EXPECT_TRUE(set.within_unit_interval());
    const std::vector<float> means = set.column_means();
    EXPECT_NEAR(std::accumulate(means.begin(), means.end(), 0.0) / 784, mean_pixel, 1e-8);
  }
  EXPECT_EQ(train.crc32(), Dataset::open(kBundled, Split::train).crc32());
  EXPECT_NE(train.crc32(), test.crc32());
  const auto labels = open_labels(kBundled, Split::train);
  ASSERT_EQ(labels.size(), 10000u);
  EXPECT_EQ(std::count(labels.begin(), labels.end(), 1), 1127);
  EXPECT_EQ(std::vector<std::uint8_t>(labels.begin(), labels.begin() + 5), (std::vector<std::uint8_t>{5, 0, 4, 1, 9}));
  EXPECT_EQ(open_labels(kBundled, Split::test).size(), 2000u);
}

TEST(Dataset, TakesWhatTheProgramHas) {
  const Dataset pixels = Dataset::from_memory(std::vector<std::uint8_t>{0, 51, 255, 102}, 2, 2);
  EXPECT_DOUBLE_EQ(pixels.mean(0), 0.5);
  EXPECT_DOUBLE_EQ(pixels.mean(1), 0.3);
  EXPECT_EQ(pixels.column_means(), (std::vector<float>{0.5f, 0.3f}));
  EXPECT_EQ(pixels.row(1), (std::vector<float>{1.f, 0.4f}));
  EXPECT_EQ(pixels.image_width(), 2);  // 1 x 2: two is not a square number

  const Dataset values = Dataset::from_memory(std::vector<float>{0.f, 1.f, 0.5f, 0.75f}, 1, 4);
  EXPECT_EQ(values.image_height(), 2);
  EXPECT_TRUE(values.within_unit_interval());
  EXPECT_EQ(values.row(0), (std::vector<float>{0.f, 1.f, 0.5f, 0.75f}));
  EXPECT_EQ(Dataset::from_memory(std::vector<std::uint8_t>{'1', '2', '3', '4', '5', '6', '7', '8', '9'}, 9, 1).crc32(),
            0xcbf43926u);  // the check value of CRC-32
}

TEST(Dataset, WritesNpyThatItReads) {
  TempDir dir;
  write_npy(dir / "x.npy", kFloats.data(), 3, 2);
  const Dataset set = Dataset::open(dir / "x.npy", Split::train);
  EXPECT_EQ(set.rows(), 3);
  EXPECT_EQ(floats_of(set), kFloats);
  std::ifstream file(dir / "x.npy", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(bytes, npy(1, npy_dict("<f4", "(3, 2)"), float_bytes(kFloats, std::endian::little)));
}

}  // namespace
}  // namespace cuvae::test
