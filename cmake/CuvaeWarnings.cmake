# Warnings. They are errors if cuvae is the top-level project.
add_library(cuvae_warnings INTERFACE)
target_compile_options(cuvae_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wold-style-cast)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(cuvae_warnings INTERFACE -Wno-restrict)  # wrong for std::string: GCC bug 105651
endif()
if(PROJECT_IS_TOP_LEVEL)
  target_compile_options(cuvae_warnings INTERFACE -Werror)
endif()
