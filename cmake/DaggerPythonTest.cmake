# Tests written in Python (standard library only), which run the built program.
#
#   dagger_python_test(<name> SCRIPT <file> [ARGS ...] [LABELS e2e|sdk...] [TIMEOUT seconds])
#
# The script gets DAGGER_BUILD_DIR and can import the toolkit of tests/support as `support`. Debian's own Python runs
# it, whichever else is on the PATH.
function(dagger_python_test name)
  cmake_parse_arguments(A "" "SCRIPT;TIMEOUT" "ARGS;LABELS" ${ARGN})
  if(NOT A_LABELS)
    set(A_LABELS e2e)
  endif()
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300)
  endif()
  cmake_path(ABSOLUTE_PATH A_SCRIPT BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  add_test(NAME ${name} COMMAND /usr/bin/python3 ${A_SCRIPT} ${A_ARGS})
  set_tests_properties(${name} PROPERTIES
    LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT}
    ENVIRONMENT "DAGGER_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONPATH=${PROJECT_SOURCE_DIR}/tests;PYTHONDONTWRITEBYTECODE=1")
endfunction()
