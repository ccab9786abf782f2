// The files of MNIST and similar data sets in a folder, with the names that their authors and torchvision use.
#pragma once
#include <filesystem>
#include <vector>

#include "cuvae/dataset.h"

namespace cuvae {

enum class FileKind { images, labels };

/// The files of this split in the folder, one for each data set: MNIST's names (also used by Fashion-MNIST and KMNIST),
/// those of EMNIST's six splits and those of QMNIST; a plain file wins over a gzipped one. Searches the folder, and if
/// there are none, the folders that torchvision makes: raw, MNIST/raw, FashionMNIST/raw ... MNIST's names in the folder
/// itself win over all others. A file that cannot be examined is also returned, so that opening it reports the reason.
std::vector<std::filesystem::path> find_files(const std::filesystem::path& folder, Split split, FileKind kind);

/// The file if there is exactly one, else an empty path.
std::filesystem::path find_file(const std::filesystem::path& folder, Split split, FileKind kind);

/// The images of a folder. Throws Error if there are none, or if there are images of several data sets.
std::filesystem::path find_images(const std::filesystem::path& folder, Split split);

/// The labels that belong to this file of images, by their names; an empty path if there are none.
std::filesystem::path labels_of(const std::filesystem::path& images);

}  // namespace cuvae
