/// What becomes of a connection's fields when some of them are changed.
package import FHIRControl

extension ConnectionFields {
  private static var texts: [WritableKeyPath<ConnectionFields, String?>] {
    [
      \.connectionName, \.fhirBaseURL, \.authMethod, \.clientAuthentication, \.clientID, \.clientSecret, \.authURL,
      \.tokenURL, \.issuer, \.revocationURL, \.introspectionURL, \.scope, \.aud, \.basicEncoding, \.redirectURI, \.pkce,
      \.signingAlgorithm, \.scopeVersion, \.registration, \.caFile, \.clientCertificateFile, \.proxy, \.fhirVersion,
      \.searchMethod, \.additionalNotes,
    ]
  }

  /// An empty text is no text.
  package var withoutEmptyTexts: ConnectionFields {
    var fields = self
    for path in Self.texts where fields[keyPath: path]?.isEmpty == true { fields[keyPath: path] = nil }
    return fields
  }

  /// Lays the given fields of `changes` over these; a given empty text takes the field away.
  package func changed(by changes: ConnectionFields) -> ConnectionFields {
    var fields = self
    for path in Self.texts {
      if let text = changes[keyPath: path] { fields[keyPath: path] = text.isEmpty ? nil : text }
    }
    fields.extraParameters = changes.extraParameters ?? fields.extraParameters
    fields.authorizationParameters = changes.authorizationParameters ?? fields.authorizationParameters
    fields.extraHeaders = changes.extraHeaders ?? fields.extraHeaders
    fields.allowedOrigins = changes.allowedOrigins ?? fields.allowedOrigins
    fields.linkRewrites = changes.linkRewrites ?? fields.linkRewrites
    fields.labels = changes.labels ?? fields.labels
    fields.sendsClientID = changes.sendsClientID ?? fields.sendsClientID
    fields.refresh = changes.refresh ?? fields.refresh
    fields.sendsFHIRVersion = changes.sendsFHIRVersion ?? fields.sendsFHIRVersion
    fields.health = changes.health ?? fields.health
    fields.requests = changes.requests ?? fields.requests
    return fields
  }

  /// Whether a token obtained under `other` is still right for these fields.
  package func needsNewToken(since other: ConnectionFields) -> Bool {
    // A person's login stays good whatever will be asked for at the next one.
    if authMethod == AuthMethod.authorizationCode.rawValue, authMethod == other.authMethod {
      let deciding: [KeyPath<ConnectionFields, String?>] = [\.fhirBaseURL, \.clientID, \.tokenURL, \.issuer]
      return deciding.contains { self[keyPath: $0] != other[keyPath: $0] }
    }
    let deciding: [KeyPath<ConnectionFields, String?>] = [
      \.fhirBaseURL, \.authMethod, \.clientID, \.tokenURL, \.issuer, \.scope, \.scopeVersion, \.aud,
    ]
    return deciding.contains { self[keyPath: $0] != other[keyPath: $0] } || extraParameters != other.extraParameters
  }

  /// Whether a refusal under `other` says nothing about these fields.
  package func deservesNewAttempt(since other: ConnectionFields) -> Bool {
    needsNewToken(since: other) || clientAuthentication != other.clientAuthentication
      || basicEncoding != other.basicEncoding || signingAlgorithm != other.signingAlgorithm
      || sendsClientID != other.sendsClientID || caFile != other.caFile
      || clientCertificateFile != other.clientCertificateFile || proxy != other.proxy
      || extraHeaders != other.extraHeaders
  }
}
