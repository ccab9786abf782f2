// The files of MNIST and its relatives in a folder, as their authors and torchvision name them.
#pragma once
#include <filesystem>
#include <vector>

#include "cuvae/dataset.h"

namespace cuvae {

enum class FileKind { images, labels };

/// The files of this split in the folder, one for each data set: MNIST's names (which Fashion-MNIST and KMNIST share),
/// those of EMNIST's six splits and QMNIST's, plain before gzipped. Looks into the folder itself, and where there are
/// none into those that torchvision makes: raw, MNIST/raw, FashionMNIST/raw ... MNIST's names in the folder itself win
/// over all others. Of a file that is there but cannot be examined the path is given, so that opening it tells why.
std::vector<std::filesystem::path> find_files(const std::filesystem::path& folder, Split split, FileKind kind);

/// The only one of these; an empty path when there is none or more than one.
std::filesystem::path find_file(const std::filesystem::path& folder, Split split, FileKind kind);

/// The images of a folder. Throws Error where there are none, or those of several data sets.
std::filesystem::path find_images(const std::filesystem::path& folder, Split split);

/// The labels that belong to this file of images, by its name; an empty path when there are none.
std::filesystem::path labels_of(const std::filesystem::path& images);

}  // namespace cuvae
