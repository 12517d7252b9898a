# Runs one check of the conformance program over a plugin of the zoo, which must break it with this finding.
execute_process(COMMAND ${PROGRAM} ${PLUGIN} --dir ${SCRATCH} --only ${CHECK} OUTPUT_VARIABLE said ERROR_VARIABLE said RESULT_VARIABLE code)
string(FIND "${said}" "${FINDING}" at)
if(NOT code EQUAL 1 OR at EQUAL -1)
  message(FATAL_ERROR "exit code ${code}, expected 1 and \"${FINDING}\":\n${said}")
endif()
