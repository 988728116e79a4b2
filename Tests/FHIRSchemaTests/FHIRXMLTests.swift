/// XML of FHIR: the same schema as from JSON, and nothing that XML could do beyond that.
import FHIRSchema
import Foundation
import SMARTProtocol
import Testing

@Suite struct FHIRXMLTests {
  private func json(_ text: String) throws -> JSON { try FHIRXML.json(Array(text.utf8)) }
  private func problem(_ text: String) -> String? {
    do {
      _ = try Schema(body: Array(text.utf8))
      return nil
    } catch { return error.sentence }
  }

  @Test func `R9.03 values, arrays, booleans, numbers, extensions`() throws {
    let value = try json(
      """
      <?xml version="1.0" encoding="UTF-8"?><!-- a -- > remark -->
      <f:Conformance xmlns:f='http://hl7.org/fhir'><f:id value="1"/><f:text><div xmlns="http://www.w3.org/1999/xhtml"><p
      class="x">a<br/></p></div></f:text><f:name value="A &amp; B &#233;&#x1F600; &lt;&gt;&quot;&apos;"/>
      <f:experimental value="false"/><f:format value="xml"/><f:unknown value="1"/><f:unknown value="2"/>
      <f:messaging><f:reliableCache value="30"/></f:messaging>
      <f:rest><f:security><f:cors value="true"/><f:extension url="u"><f:extension url="token"><f:valueUri value="t"/>
      </f:extension></f:extension></f:security></f:rest></f:Conformance>
      """)
    #expect(
      value.text == """
        {"experimental":false,"format":["xml"],"id":"1","messaging":[{"reliableCache":30}],\
        "name":"A & B é😀 <>\\"'","resourceType":"Conformance",\
        "rest":[{"security":{"cors":true,"extension":[{"extension":[{"url":"token","valueUri":"t"}],"url":"u"}]}}],\
        "unknown":["1","2"]}
        """)
  }

  @Test(arguments: [
    ("<!DOCTYPE c [<!ENTITY a \"b\">]><CapabilityStatement/>", "is unusable: the XML has a DOCTYPE, which is not read"),
    (
      "<CapabilityStatement><name value=\"&evil;\"/></CapabilityStatement>",
      "is unusable: the XML uses an entity that XML does not have by itself (byte 34)"
    ),
    ("<CapabilityStatement><rest></CapabilityStatement>", "is unusable: the answer is not well-formed XML (byte 27)"),
    ("<CapabilityStatement><rest>", "is unusable: the XML ends in the middle"),
    ("<CapabilityStatement/><x/>", "is unusable: the answer is not well-formed XML (byte 22)"),
    ("<CapabilityStatement a=\"1\" a=\"2\"/>", "is unusable: the answer is not well-formed XML (byte 32)"),
    (
      "<?xml version='1.0' encoding='UTF-16'?><CapabilityStatement/>", "is unusable: the XML is in utf-16, not in UTF-8"
    ),
    ("<Patient/>", "is a resource of type Patient, not a CapabilityStatement"),
  ])
  func `R9.03 what is refused`(text: String, sentence: String) { #expect(problem(text) == sentence) }

  @Test func `R9.03 depth and character numbers have limits`() throws {
    let deep = String(repeating: "<a>", count: 100) + String(repeating: "</a>", count: 100)
    #expect(problem(deep) == "is unusable: the XML is nested deeper than 64 levels")
    for odd in ["&#0;", "&#xD800;", "&#x110000;", "&#-1;", "&#;", "&;", "&amp", "&#99999999999999;"] {
      #expect(problem("<CapabilityStatement><name value=\"\(odd)\"/></CapabilityStatement>") != nil, "\(odd)")
    }
  }

  @Test(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.absence)))
  func `R9.03 every real statement gives the same schema by way of XML`() throws {
    var compared = 0
    // The one that is invalid has values that XML cannot carry: a number for an array.
    for (name, bytes) in try SharedData.all("capability")
    where name.hasSuffix(".json") && name != "clientpy-invalid.json" {
      let root = try JSONDocument(bytes, limits: .large).root
      var xml = ""
      write(root, named: root["resourceType"]?.string ?? "", to: &xml)
      // An empty array, an empty object and no member at all are the same in XML.
      var expected = Schema(statement: root)
      var found = try Schema(body: Array(xml.utf8))
      (expected.findings, found.findings) = ([], [])
      #expect(found == expected, "\(name)")
      compared += 1
    }
    #expect(compared >= 20)
  }

  private func write(_ value: JSON, named name: String, to xml: inout String) {
    guard case .object(let members) = value else {
      var text = value.string ?? value.text
      for (sign, entity) in [("&", "&amp;"), ("<", "&lt;"), ("\"", "&quot;")] {
        text = text.replacingOccurrences(of: sign, with: entity)
      }
      xml += "<\(name) value=\"\(text)\"/>"
      return
    }
    xml +=
      "<\(name)"
      + (members["url"].map { name.lowercased().contains("extension") ? " url=\"\($0.string ?? "")\"" : "" } ?? "")
      + ">\n"
    for (member, value) in members.sorted(by: { $0.key < $1.key })
    where !["resourceType", "text", "contained"].contains(member)
      || (member == "text" && name != "CapabilityStatement" && name != "Conformance")
    {
      if member == "url", name.lowercased().contains("extension") { continue }
      if case .array(let values) = value {
        for element in values { write(element, named: member, to: &xml) }
      } else {
        write(value, named: member, to: &xml)
      }
    }
    xml += "</\(name)>"
  }
}
