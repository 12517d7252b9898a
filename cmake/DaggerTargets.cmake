# Functions that every folder's CMakeLists.txt uses, so that flags are said once.
#
#   dagger_library(<name> SOURCES ... [DEPS <public targets>] [PRIVATE_DEPS <targets>])   -> dagger::<name>
#   dagger_test(<name> SOURCES ... DEPS ... [LABELS unit|root|e2e...] [TIMEOUT seconds])  -> a GoogleTest program
#   dagger_bundled_plugin(<name> SOURCES ... [DEPS ...])                                  -> plugins/<name>.so

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

# Every plugin of the build tree ends up here; the build tree's program finds them relative to itself.
set(DAGGER_PLUGIN_OUTPUT_DIR ${CMAKE_BINARY_DIR}/lib/dagger/plugins/1)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

add_library(dagger_flags INTERFACE)
target_compile_options(dagger_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-qual -Wformat=2
  -Wimplicit-fallthrough -Wundef -Wextra-semi -Werror=return-type -Werror=unused-result
  $<$<CXX_COMPILER_ID:Clang>:-Wno-missing-field-initializers -Wno-missing-designated-field-initializers>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-missing-field-initializers>
  $<$<BOOL:${DAGGER_WERROR}>:-Werror>)
target_compile_definitions(dagger_flags INTERFACE
  _GNU_SOURCE _GLIBCXX_ASSERTIONS $<$<BOOL:${DAGGER_WATCHDOG}>:DAGGER_WATCHDOG>)
if(CMAKE_BUILD_TYPE MATCHES "Rel" AND NOT DAGGER_SANITIZE)
  target_compile_definitions(dagger_flags INTERFACE _FORTIFY_SOURCE=2)
  target_compile_options(dagger_flags INTERFACE -fstack-protector-strong -fstack-clash-protection)
  target_link_options(dagger_flags INTERFACE LINKER:-z,relro LINKER:-z,now)
endif()
if(DAGGER_SANITIZE)
  add_compile_options(-fsanitize=${DAGGER_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -O1)
  add_link_options(-fsanitize=${DAGGER_SANITIZE})
endif()

function(dagger_library name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(dagger_${name} STATIC ${A_SOURCES})
  add_library(dagger::${name} ALIAS dagger_${name})
  # Includes are spelled from the root of the repository: "core/dag/op.h".
  target_include_directories(dagger_${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(dagger_${name} PUBLIC ${A_DEPS} PRIVATE dagger_flags ${A_PRIVATE_DEPS})
endfunction()

function(dagger_test name)
  cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE dagger_flags ${A_DEPS} GTest::gtest GTest::gmock GTest::gtest_main Threads::Threads)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  if(NOT A_LABELS)
    set(A_LABELS unit)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${A_TIMEOUT} LABELS "${A_LABELS}")
endfunction()

function(dagger_bundled_plugin name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} MODULE ${A_SOURCES})
  target_link_libraries(${name} PRIVATE dagger_flags dagger::plugin-api ${A_DEPS})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  dagger_plugin_properties(${name})
  set_target_properties(${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${DAGGER_PLUGIN_OUTPUT_DIR})
  install(TARGETS ${name} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/dagger/plugins/1)
endfunction()

include(${CMAKE_CURRENT_LIST_DIR}/DaggerPlugin.cmake)
