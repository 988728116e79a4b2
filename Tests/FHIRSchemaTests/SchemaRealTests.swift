/// Schemas of real servers, field by field against what stands in their documents, read by hand.
import Foundation
import Testing

@testable import FHIRSchema

private let whenPresent = ConditionTrait.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.absence))

@Suite(whenPresent) struct SchemaRealTests {
  private func schema(_ name: String) throws -> Schema { try Schema(body: SharedData.bytes("capability/\(name)")) }

  @Test func `R9.16 HAPI STU3, 543 kB`() throws {
    let schema = try schema("fhirclient-hapi-stu3-543k.json")
    #expect(schema.resourceType == "CapabilityStatement")
    #expect(schema.fhirVersion == "3.0.1")
    #expect(schema.release == .stu3)
    #expect(schema.kind == "instance")
    #expect(schema.software == .init(name: "HAPI FHIR Server", version: "2.5-SNAPSHOT", releaseDate: nil))
    #expect(schema.implementation?.description == "UHN Test Server (STU3 Resources)")
    #expect(schema.formats == ["application/fhir+xml", "application/fhir+json"])
    let server = try #require(schema.server)
    #expect(schema.client == nil)
    #expect(server.security == nil)
    #expect(server.interactions.map(\.code) == ["history-system", "transaction"])
    #expect(server.operations.count == 714)
    #expect(
      server.operations[1]
        == .init(name: "meta", definition: "OperationDefinition/-s-meta", documentation: nil))
    #expect(server.resources.count == 117)
    #expect(server.resources.map(\.searchParameters.count).reduce(0, +) == 1597)
    #expect(server.resources.map(\.interactions.count).reduce(0, +) == 1053)
    let account = try #require(server.resource("Account"))
    #expect(account.profile == "http://hl7.org/fhir/Profile/Account")
    #expect(account.interactions.count == 9)
    #expect(account.offers("patch"))
    #expect(account.versioning == "versioned-update")
    #expect(account.conditionalCreate == true)
    #expect(account.conditionalUpdate == true)
    #expect(account.conditionalDelete == "multiple")
    #expect(account.readHistory == nil)
    #expect(account.searchIncludes == ["*", "Account:owner", "Account:patient", "Account:subject"])
    #expect(account.searchParameters.count == 11)
    #expect(account.searchParameters[1].name == "owner")
    #expect(account.searchParameters[1].type == "reference")
    #expect(account.searchParameters[1].documentation == "Who is responsible?")
    #expect(schema.findings.map(\.id) == ["no-security"])
  }

  @Test func `R9.16 Cerner DSTU2: a Conformance with profiles in rest`() throws {
    let schema = try schema("lantern-cerner-dstu2.json")
    #expect(schema.resourceType == "Conformance")
    #expect(schema.release == .dstu2)
    #expect(schema.name == "Cerner Conformance Statement")
    #expect(schema.status == "draft")
    #expect(schema.publisher == "Cerner")
    #expect(schema.software == nil)
    #expect(schema.formats == ["json"])
    #expect(schema.profiles.count == 12)
    #expect(schema.profiles[0] == "http://hl7.org/fhir/StructureDefinition/daf-allergyintolerance")
    let server = try #require(schema.server)
    #expect(server.documentation == "All the functionality defined in FHIR")
    #expect(server.resources.count == 27)
    #expect(server.resources.map(\.searchParameters.count).reduce(0, +) == 102)
    #expect(server.operations.map(\.name) == ["autogen-ccd-if", "docref"])
    let security = try #require(server.security)
    #expect(security.cors == true)
    #expect(security.description == "OAuth2 plus SMART extensions")
    #expect(security.oauthURIs.map(\.name) == ["token", "authorize", "manage"])
    #expect(security.oauthURIs[2].url.hasSuffix("/personas/patient/my-authorizations"))
    #expect(security.services.count == 1)
    #expect(
      security.services[0].codings == [
        .init(system: "http://hl7.org/fhir/restful-security-service", code: "SMART-on-FHIR", display: nil)
      ])
    #expect(
      server.resource("Slot")?.searchParameters.map(\.name) == [
        "_id", "start", "slot-type", "schedule.actor", "-location",
      ])
    #expect(schema.findings.contains { $0.id == "rest-profile" })
    #expect(!schema.findings.contains { $0.severity == .error })
  }

  @Test func `R9.16 Epic STU3: three security services, nothing conditional`() throws {
    let schema = try schema("lantern-epic-stu3.json")
    #expect(schema.software == .init(name: "February 2019", version: "8.7.0.1", releaseDate: "2019-09-17"))
    #expect(schema.isExperimental == false)
    #expect(schema.formats == ["xml", "json"])
    let server = try #require(schema.server)
    #expect(server.resources.count == 22)
    let security = try #require(server.security)
    #expect(security.services.map(\.text) == ["OAuth", "SMART-on-FHIR", "Basic"])
    #expect(security.services[1].codings[0].display == "SMART-on-FHIR")
    #expect(
      security.oauthURIs == [
        .init(name: "authorize", url: "https://iconnect-fhir.cooperhealth.edu/fhir/oauth2/authorize"),
        .init(name: "token", url: "https://iconnect-fhir.cooperhealth.edu/fhir/oauth2/token"),
      ])
    let allergy = try #require(server.resource("AllergyIntolerance"))
    #expect(allergy.interactions.map(\.code) == ["create", "read", "search-type"])
    #expect(allergy.readHistory == false)
    #expect(allergy.updateCreate == false)
    #expect(allergy.conditionalRead == "not-supported")
    #expect(allergy.conditionalDelete == "not-supported")
    #expect(
      allergy.searchParameters == [
        .init(
          name: "patient", type: "reference", definition: nil,
          documentation: "Search for AllergyIntolerance resources for a specified patient ID.", targets: [], chains: [])
      ])
  }

  @Test func `R9.16 Oracle Health R4: no endpoints, includes with targets`() throws {
    let schema = try schema("scorecard-oracle-health-open-r4.json")
    #expect(schema.release == .r4)
    #expect(schema.title == "Oracle Health Capability Statement")
    #expect(schema.implementation?.url == "https://fhir-open.cerner.com/r4/ec2458f2-1e24-41c8-b71b-0e701af7583d")
    #expect(schema.instantiates == ["http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server"])
    #expect(schema.patchFormats == ["application/json-patch+json"])
    let server = try #require(schema.server)
    #expect(
      server.security
        == {
          var only = Schema.Security(); only.cors = true; return only
        }())
    #expect(server.interactions == [.init(code: "batch", documentation: "Implemented per the specification")])
    #expect(server.resources.count == 42)
    #expect(server.resources.map(\.interactions.count).reduce(0, +) == 79)
    let slot = try #require(server.resource("Slot"))
    #expect(slot.searchIncludes == ["Slot:schedule", "Schedule:actor:Practitioner"])
    #expect(
      slot.searchParameters.map(\.name) == ["_id", "start", "service-type", "schedule.actor", "-location", "_count"])
    #expect(slot.searchParameters[0].definition == "http://hl7.org/fhir/R4/SearchParameter/Resource-id")
  }

  @Test func `R9.16 HL7's R5 example: everything there is`() throws {
    let schema = try schema("fhirclient-r5.json")
    #expect(schema.release == .r5)
    #expect(schema.version == "20130510")
    #expect(schema.isExperimental == true)
    #expect(schema.implementationGuides == ["http://example.org/fhir/us/lab"])
    #expect(schema.offersMessaging)
    #expect(schema.offersDocuments)
    let server = try #require(schema.server)
    #expect(server.compartments == ["http://hl7.org/fhir/CompartmentDefinition/patient"])
    #expect(server.security?.description == "See Smart on FHIR documentation")
    let patient = try #require(server.resource("Patient"))
    #expect(patient.profile == "http://registry.fhir.org/r5/StructureDefinition/7896271d-57f6-4231-89dc-dcc91eab2416")
    #expect(
      patient.supportedProfiles == [
        "http://registry.fhir.org/r5/StructureDefinition/00ab9e7a-06c7-4f77-9234-4154ca1e3347"
      ])
    #expect(patient.documentation == "This server does not let the clients create identities.")
    #expect(
      patient.interactions[1]
        == .init(code: "vread", documentation: "Only supported for patient records since 12-Dec 2012"))
    #expect(patient.readHistory == true)
    #expect(patient.conditionalRead == "full-support")
    #expect(patient.conditionalPatch == false)
    #expect(patient.searchRevIncludes == ["Person:patient"])
    #expect(
      Set(schema.findings.map(\.id)) == ["experimental", "parameters-without-search", "smart-no-oauth-uris"])
  }

  @Test func `R9.03 R9.16 CMS BFD STU3, in XML`() throws {
    let schema = try schema("dpc-bfd-stu3.xml")
    #expect(schema.resourceType == "CapabilityStatement")
    #expect(schema.fhirVersion == "3.0.1")
    #expect(schema.publisher == "Centers for Medicare & Medicaid Services")
    #expect(schema.software == .init(name: "Blue Button API: Direct", version: "1.0.0-SNAPSHOT", releaseDate: nil))
    #expect(schema.implementation?.description == "gov.hhs.cms.bluebutton.fhir:bluebutton-server-app")
    #expect(schema.formats == ["application/fhir+xml", "application/fhir+json"])
    let server = try #require(schema.server)
    #expect(
      server.resources.map(\.type)
        == ["Coverage", "ExplanationOfBenefit", "OperationDefinition", "Patient", "StructureDefinition"])
    #expect(server.resource("Coverage")?.profile == "http://hl7.org/fhir/Profile/Coverage")
    #expect(server.resource("Coverage")?.interactions.map(\.code) == ["read", "search-type"])
    #expect(server.resource("ExplanationOfBenefit")?.searchParameters.map(\.name) == ["patient", "startIndex"])
    #expect(server.resource("Patient")?.searchParameters.map(\.type) == ["token", "token"])
    #expect(schema.findings.map(\.id) == ["no-security"])
  }

  @Test func `R9.16 GP Connect STU3: profiles of the whole statement`() throws {
    let schema = try schema("gpconnect-stu3.json")
    #expect(schema.kind == "capability")
    #expect(schema.software?.releaseDate == "[Provider Software Release Date]")
    #expect(schema.profiles[0] == "https://fhir.nhs.uk/STU3/StructureDefinition/CareConnect-GPC-Patient-1")
    #expect(schema.server?.operations.map(\.name) == ["gpc.registerpatient", "gpc.getstructuredrecord"])
    #expect(
      schema.server?.resource("Slot")?.searchIncludes
        == ["Schedule:actor:Location", "Schedule:actor:Practitioner", "Slot:schedule", "Location:managingOrganization"])
  }

  @Test func `R9.16 the old form of oauth-uris, with a fragment`() throws {
    let schema = try schema("clientpy-valid.json")
    #expect(schema.server?.security?.oauthURIs.map(\.name) == ["register", "authorize", "token"])
    #expect(schema.server?.security?.oauthURIs[2].url == "https://authorize.smarthealthit.org/token")
    #expect(schema.findings.contains { $0.id == "type-of-other-release" })
  }

  @Test func `R9.16 a statement that its authors call invalid`() throws {
    let schema = try schema("clientpy-invalid.json")
    #expect(schema.server?.operations.map(\.definition) == ["https://fhir.org/OperationDefinition/made-up-1", nil])
    #expect(schema.server?.security?.services[0].codings[0].code == "OAuth2")
    let ids = schema.findings.map(\.id)
    for id in ["date-type", "format-type", "no-resources", "reference-empty", "service-no-system"] {
      #expect(ids.contains(id), "\(id) in \(ids)")
    }
  }
}
