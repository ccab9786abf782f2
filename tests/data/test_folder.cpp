// The names of EMNIST, QMNIST and torchvision in a folder, and the labels of images.
#include "read_test.h"

namespace cuvae::test {
namespace {

namespace fs = std::filesystem;

const std::string kSets[] = {"balanced", "byclass", "bymerge", "digits", "letters", "mnist"};

fs::path make(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  return write(path, bytes);
}

std::string images(char pixel) { return idx(8, {2, 1, 1}, {pixel, pixel}); }
std::string labels(char label) { return idx(8, {2}, {label, label}); }

// QMNIST's labels: class, series, writer ... in each row.
std::string qmnist_labels() {
  return idx(12, {2, 8}, big_endian(7) + std::string(28, '\1') + big_endian(9) + std::string(28, '\1'));
}

std::string pixels(const fs::path& path, Split split) {
  const Dataset set = Dataset::open(path, split);
  return {static_cast<const char*>(set.data()), 2};
}

using Labels = std::vector<std::uint8_t>;

TEST(Folder, EachSplitOfEmnistAndQmnist) {
  for (const Split split : {Split::train, Split::test}) {
    const std::string part = split == Split::train ? "train" : "test";
    for (const std::string& set : kSets)
      for (const bool zipped : {false, true}) {
        const TempDir dir;
        const std::string stem = "emnist-" + set + "-" + part, end = zipped ? ".gz" : "";
        make(dir / (stem + "-images-idx3-ubyte" + end), zipped ? gzip(images('a')) : images('a'));
        EXPECT_TRUE(open_labels(dir.path(), split).empty());
        make(dir / (stem + "-labels-idx1-ubyte" + end), zipped ? gzip(labels('\5')) : labels('\5'));
        EXPECT_EQ(pixels(dir.path(), split), "aa");
        EXPECT_EQ(open_labels(dir.path(), split), (Labels{5, 5}));
      }
    const TempDir dir;
    make(dir / ("qmnist-" + part + "-images-idx3-ubyte"), images('q'));
    make(dir / ("qmnist-" + part + "-labels-idx2-int.gz"), gzip(qmnist_labels()));
    EXPECT_EQ(pixels(dir.path(), split), "qq");
    EXPECT_EQ(open_labels(dir.path(), split), (Labels{7, 9}));
  }
}

TEST(Folder, WhereTorchvisionPutsThem) {
  for (const std::string place : {"raw", "MNIST/raw", "FashionMNIST/raw", "KMNIST/raw", "EMNIST/raw", "QMNIST/raw"}) {
    const TempDir dir;
    make(dir / place / "t10k-images-idx3-ubyte", images('t'));
    make(dir / place / "t10k-labels-idx1-ubyte", labels('\3'));
    EXPECT_EQ(pixels(dir.path(), Split::test), "tt");
    EXPECT_EQ(open_labels(dir.path(), Split::test), (Labels{3, 3}));
    make(dir / "t10k-images.idx3-ubyte", images('u'));  // the folder's own files win
    EXPECT_EQ(pixels(dir.path(), Split::test), "uu");
  }
}

TEST(Folder, SeveralDataSetsMustBeNamed) {
  const TempDir dir;
  const auto digits = make(dir / "emnist-digits-train-images-idx3-ubyte.gz", gzip(images('d')));
  make(dir / "emnist-letters-train-images-idx3-ubyte", images('l'));
  make(dir / "emnist-digits-train-labels-idx1-ubyte", labels('\1'));
  make(dir / "emnist-letters-train-labels-idx1-ubyte", labels('\2'));
  const std::string error = dir.path().string() +
                            ": images of several data sets in this folder: give one of these files: "
                            "emnist-digits-train-images-idx3-ubyte.gz, emnist-letters-train-images-idx3-ubyte";
  EXPECT_EQ(error_text([&] { Dataset::open(dir.path(), Split::train); }), error);
  EXPECT_EQ(error_text([&] { open_labels(dir.path(), Split::train); }), error);
  EXPECT_EQ(pixels(digits, Split::train), "dd");
  EXPECT_EQ(open_labels(digits, Split::train), (Labels{1, 1}));

  const TempDir root;
  make(root / "MNIST/raw/train-images-idx3-ubyte", images('m'));
  make(root / "FashionMNIST/raw/train-images-idx3-ubyte", images('f'));
  expect_error([&] { Dataset::open(root.path(), Split::train); },
               "give one of these files: MNIST/raw/train-images-idx3-ubyte, FashionMNIST/raw/train-images-idx3-ubyte");
  EXPECT_EQ(pixels(root / "FashionMNIST", Split::train), "ff");
}

TEST(Folder, LabelsOfAFile) {
  const TempDir dir;
  const auto file = make(dir / "train-images.idx3-ubyte.gz", gzip(images('a')));
  EXPECT_TRUE(open_labels(file, Split::train).empty());
  const auto found = make(dir / "train-labels.idx1-ubyte", idx(8, {3}, "\1\2\3"));
  EXPECT_EQ(error_text([&] { open_labels(file, Split::train); }),
            found.string() + ": wrong number of labels at byte 4: 3, but " + file.string() + " holds 2 images");
  EXPECT_TRUE(open_labels(dir / "other.npy", Split::train).empty());

  make(dir / "qmnist-test-images-idx3-ubyte", images('q'));
  const auto bad = make(dir / "qmnist-test-labels-idx2-int", idx(12, {2, 1}, big_endian(1) + big_endian(256)));
  expect_error([&] { open_labels(dir.path(), Split::test); }, bad.string() + ": a label is 256");
}

}  // namespace
}  // namespace cuvae::test
