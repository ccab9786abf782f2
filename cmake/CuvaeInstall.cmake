# The installed package: find_package(cuvae), target cuvae::cuvae.
include(CMakePackageConfigHelpers)
install(TARGETS cuvae EXPORT cuvae-targets)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/cuvae DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
set(CUVAE_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/cuvae)
install(EXPORT cuvae-targets NAMESPACE cuvae:: DESTINATION ${CUVAE_CMAKE_DIR})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/cuvae-config.cmake.in ${PROJECT_BINARY_DIR}/cuvae-config.cmake
                              INSTALL_DESTINATION ${CUVAE_CMAKE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cuvae-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cuvae-config.cmake ${PROJECT_BINARY_DIR}/cuvae-config-version.cmake
        DESTINATION ${CUVAE_CMAKE_DIR})
