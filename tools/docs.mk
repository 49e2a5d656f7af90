# What is generated from tables into the documents.

.PHONY: docs

docs: $(BUILD)/bin/rmctl ## write the tables of settings into the sample file and the manual
	@tools/docs.sh $(BUILD)/bin/rmctl
