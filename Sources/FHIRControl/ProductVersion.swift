/// The version that `fhird`, `fhirctl` and `server.info` all tell.
public let productVersion = "0.1.0"
