print("fhird")
