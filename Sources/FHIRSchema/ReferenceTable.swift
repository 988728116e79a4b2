/// The reference search parameters that FHIR itself defines, with their targets, as one compact text. Written by
/// scripts/reference-parameters; ReferenceParameters reads it.
///
/// Source: the search parameters of HL7 FHIR STU3 (3.0), R4 (4.0), R4B (4.3) and R5 (5.0), which HL7 publishes under CC0.
/// FHIR is a trademark of HL7.

enum ReferenceTable {
  /// Sets of target types, counted from 0; `*` is any type.
  static let targets = """
    * Account ActivityDefinition,ActorDefinition,CapabilityStatement,ChargeItemDefinition,Citation,CodeSystem,\
    CompartmentDefinition,Composition,ConceptMap,ConditionDefinition,Contract,Device,EventDefinition,Evidence,\
    EvidenceReport,EvidenceVariable,ExampleScenario,GraphDefinition,ImplementationGuide,Library,Measure,\
    MessageDefinition,NamingSystem,ObservationDefinition,OperationDefinition,PlanDefinition,Questionnaire,\
    Requirements,ResearchStudy,SearchParameter,SpecimenDefinition,StructureDefinition,StructureMap,SubscriptionTopic,\
    TerminologyCapabilities,TestPlan,TestScript,ValueSet ActivityDefinition,BiologicallyDerivedProduct,Device,\
    DeviceDefinition,Medication,MedicinalProductDefinition,NutritionProduct,PlanDefinition,Substance \
    ActivityDefinition,BiologicallyDerivedProduct,DeviceDefinition,Ingredient,Location,ManufacturedItemDefinition,\
    MedicinalProductDefinition,NutritionProduct,ObservationDefinition,Organization,PackagedProductDefinition,\
    PlanDefinition,Practitioner,ResearchStudy,SubstanceDefinition ActivityDefinition,BiologicallyDerivedProduct,\
    DeviceDefinition,Location,MedicinalProductDefinition,NutritionProduct,ObservationDefinition,Organization,\
    PackagedProductDefinition,PlanDefinition,Practitioner,ResearchStudy,SubstanceDefinition ActivityDefinition,Device,\
    DeviceDefinition,Medication,MedicinalProductDefinition,PlanDefinition,Substance ActivityDefinition,\
    HealthcareService,PlanDefinition ActivityDefinition,Measure,OperationDefinition,PlanDefinition,Questionnaire \
    ActivityDefinition,MessageDefinition,ObservationDefinition,PlanDefinition,Questionnaire,SpecimenDefinition \
    ActivityDefinition,PlanDefinition ActivityDefinition,PlanDefinition,Questionnaire ActorDefinition \
    AdministrableProductDefinition,ManufacturedItemDefinition,MedicinalProductDefinition AllergyIntolerance,Condition \
    AllergyIntolerance,Observation Appointment Appointment,AppointmentResponse,CarePlan,Claim,CommunicationRequest,\
    Contract,CoverageEligibilityRequest,DeviceRequest,EnrollmentRequest,ImmunizationRecommendation,MedicationRequest,\
    NutritionOrder,RequestOrchestration,ServiceRequest,SupplyRequest,VisionPrescription Appointment,\
    AppointmentResponse,CarePlan,ServiceRequest,Task Appointment,CommunicationRequest,DeviceRequest,\
    ImmunizationRecommendation,MedicationRequest,NutritionOrder,RequestOrchestration,ServiceRequest,SupplyRequest,\
    Task,VisionPrescription Appointment,CommunicationRequest,DeviceRequest,MedicationRequest,NutritionOrder,\
    ProcedureRequest,ReferralRequest,RequestGroup,Task,VisionPrescription Appointment,CommunicationRequest,\
    DeviceRequest,MedicationRequest,NutritionOrder,RequestGroup,ServiceRequest,Task,VisionPrescription Appointment,\
    Encounter,EpisodeOfCare Appointment,MedicationRequest,Procedure,ProcedureRequest,ReferralRequest \
    BiologicallyDerivedProduct BiologicallyDerivedProduct,Device,Group,Location,Medication,NutritionProduct,\
    Organization,Patient,Practitioner,Procedure,Substance BiologicallyDerivedProduct,Device,Group,Location,Medication,\
    Organization,Patient,Practitioner,Substance BiologicallyDerivedProduct,Device,Group,Location,Patient,Substance \
    BiologicallyDerivedProduct,Device,Group,Medication,Patient,Specimen,Substance BiologicallyDerivedProduct,Device,\
    Immunization,Medication,MedicationAdministration,MedicationStatement,Procedure,ResearchStudy,Substance \
    BiologicallyDerivedProduct,Device,InventoryItem,Medication,NutritionProduct BiologicallyDerivedProduct,\
    DeviceDefinition,ManufacturedItemDefinition,NutritionProduct,PackagedProductDefinition BiologicallyDerivedProduct,\
    Group,NutritionProduct,Patient,Substance BodyStructure CapabilityStatement,CareTeam,Device,DeviceDefinition,\
    Endpoint,Group,HealthcareService,Location,Organization,Patient,Practitioner,PractitionerRole,RelatedPerson \
    CarePlan CarePlan,DeviceRequest,ImmunizationRecommendation,MedicationRequest,NutritionOrder,ProcedureRequest,\
    ReferralRequest CarePlan,DeviceRequest,ImmunizationRecommendation,MedicationRequest,NutritionOrder,ServiceRequest \
    CarePlan,DeviceRequest,ImmunizationRecommendation,MedicationRequest,NutritionOrder,ServiceRequest,Task CarePlan,\
    DeviceRequest,MedicationRequest,ServiceRequest CarePlan,ImmunizationRecommendation,MedicationRequest,\
    NutritionOrder,ProcedureRequest,ReferralRequest CarePlan,ImmunizationRecommendation,MedicationRequest,\
    NutritionOrder,ServiceRequest CarePlan,MedicationRequest,ServiceRequest CarePlan,NutritionOrder,\
    RequestOrchestration,ServiceRequest CarePlan,ProcedureRequest,ReferralRequest CarePlan,ServiceRequest CareTeam \
    CareTeam,Device,Endpoint,Group,HealthcareService,Location,Organization,Patient,Practitioner,PractitionerRole,\
    RelatedPerson CareTeam,Device,Endpoint,Group,HealthcareService,Organization,Patient,Practitioner,PractitionerRole,\
    RelatedPerson CareTeam,Device,Endpoint,HealthcareService,Organization,Patient,Practitioner,PractitionerRole,\
    RelatedPerson CareTeam,Device,Group,HealthcareService,Location,Organization,Patient,Practitioner,PractitionerRole,\
    RelatedPerson CareTeam,Device,Group,HealthcareService,Location,Organization,Patient,Practitioner,PractitionerRole,\
    RelatedPerson,Specimen CareTeam,Device,Group,HealthcareService,Location,Patient,Practitioner,PractitionerRole,\
    RelatedPerson CareTeam,Device,Group,HealthcareService,Organization,Patient,Practitioner,PractitionerRole,\
    RelatedPerson CareTeam,Device,Group,Organization,Patient,Practitioner,PractitionerRole,RelatedPerson CareTeam,\
    Device,Group,Organization,Patient,Practitioner,RelatedPerson CareTeam,Device,HealthcareService,Location,Patient,\
    Practitioner,PractitionerRole,RelatedPerson CareTeam,Device,HealthcareService,Organization,Patient,Practitioner,\
    PractitionerRole,RelatedPerson CareTeam,Device,Organization,Patient,Practitioner,PractitionerRole,RelatedPerson \
    CareTeam,DeviceDefinition,HealthcareService,Organization,Patient,Practitioner,PractitionerRole,RelatedPerson \
    CareTeam,HealthcareService,Organization,Patient,Practitioner,PractitionerRole,RelatedPerson CareTeam,Organization,\
    Patient,Practitioner,PractitionerRole,RelatedPerson CareTeam,Organization,Patient,Practitioner,RelatedPerson \
    CareTeam,Organization,Practitioner,PractitionerRole Claim ClaimResponse,Coverage ClinicalImpression CodeSystem \
    CommunicationRequest Composition Composition,DiagnosticReport,DocumentReference ConceptMap Condition Condition,\
    DiagnosticReport,DocumentReference,Observation,Procedure Condition,DiagnosticReport,ImmunizationRecommendation,\
    Observation,Procedure Condition,DiagnosticReport,Observation Condition,DocumentReference,Observation Condition,\
    HealthcareService,Observation,Procedure Condition,ImmunizationRecommendation,Observation,Procedure Condition,\
    Media,Observation Condition,MedicationRequest,MedicationStatement,NutritionOrder,Observation,Procedure,\
    RiskAssessment,ServiceRequest Condition,Observation Condition,Procedure Consent,Contract,DocumentReference,\
    QuestionnaireResponse Contract,Device,Group,Location,Organization,Patient,Practitioner,RelatedPerson,Substance \
    Coverage CoverageEligibilityRequest Device Device,DeviceDefinition Device,DeviceMetric Device,Endpoint,\
    HealthcareService,Organization,Patient,Practitioner,PractitionerRole,RelatedPerson Device,Group,HealthcareService,\
    Location,Patient,Practitioner,PractitionerRole,RelatedPerson Device,Group,HealthcareService,Patient,Practitioner,\
    PractitionerRole,RelatedPerson Device,Group,Location,Medication,Organization,Patient,Practitioner,Procedure,\
    Specimen,Substance Device,Group,Location,Medication,Organization,Patient,Practitioner,Procedure,Substance Device,\
    Group,Location,Organization,Patient,Practitioner Device,Group,Location,Patient Device,Group,Location,Patient,\
    Practitioner,PractitionerRole,RelatedPerson Device,Group,Location,Patient,Practitioner,PractitionerRole,Specimen \
    Device,Group,Location,Patient,Substance Device,Group,Medication,Patient,Practitioner,PractitionerRole,\
    RelatedPerson,Substance Device,Group,Medication,Patient,Practitioner,PractitionerRole,Substance Device,Group,\
    Organization,Patient,Practitioner,RelatedPerson Device,Group,Patient Device,Group,Patient,Practitioner Device,\
    Group,Patient,Practitioner,Specimen Device,Group,Patient,Substance Device,HealthcareService,Location,Organization,\
    Patient,Practitioner Device,HealthcareService,Location,Organization,Patient,Practitioner,PractitionerRole Device,\
    HealthcareService,Location,Patient,Practitioner,PractitionerRole,RelatedPerson Device,HealthcareService,Location,\
    Patient,Practitioner,RelatedPerson Device,HealthcareService,Organization,Patient,Practitioner,PractitionerRole,\
    RelatedPerson Device,HealthcareService,Organization,Patient,Practitioner,RelatedPerson Device,Immunization,\
    Medication,MedicationAdministration,MedicationStatement,Procedure,Substance Device,Medication,\
    MedicationAdministration,MedicationStatement,Substance Device,Medication,Patient,Practitioner,Substance Device,\
    Medication,Patient,ResearchSubject Device,Organization,Patient,Practitioner Device,Organization,Patient,\
    Practitioner,PractitionerRole Device,Organization,Patient,Practitioner,PractitionerRole,RelatedPerson Device,\
    Organization,Patient,Practitioner,RelatedPerson Device,Organization,Practitioner Device,Organization,Practitioner,\
    PractitionerRole Device,Patient,Practitioner Device,Patient,Practitioner,PractitionerRole Device,Patient,\
    Practitioner,PractitionerRole,RelatedPerson Device,Patient,Practitioner,RelatedPerson Device,Practitioner Device,\
    Practitioner,PractitionerRole DeviceComponent DeviceDefinition DeviceRequest DiagnosticReport,FamilyMemberHistory,\
    ImagingStudy,Media,Observation,QuestionnaireResponse,RiskAssessment DiagnosticReport,FamilyMemberHistory,\
    ImagingStudy,Observation,QuestionnaireResponse,RiskAssessment DiagnosticReport,ImagingStudy,Immunization,\
    MedicationAdministration,MedicationDispense,MedicationRequest,Observation,Procedure,ServiceRequest,SupplyDelivery \
    DiagnosticReport,ImagingStudy,Immunization,MedicationAdministration,MedicationDispense,Observation,Procedure,\
    SupplyDelivery DocumentReference DocumentReference,GenomicStudy,ImagingSelection,ImagingStudy,MolecularSequence,\
    Observation,QuestionnaireResponse DocumentReference,ImagingStudy DocumentReference,ImagingStudy,Media,\
    MolecularSequence,Observation,QuestionnaireResponse DocumentReference,Media EligibilityRequest Encounter \
    Encounter,EpisodeOfCare Endpoint EnrollmentRequest EpisodeOfCare EvidenceVariable,Group EvidenceVariable,\
    Medication,MedicinalProductDefinition,SubstanceDefinition GenomicStudy,ImagingStudy GenomicStudy,ImagingStudy,\
    Immunization,MedicationAdministration,MedicationDispense,MedicationStatement,Procedure Goal Group Group,Location,\
    Medication,Organization,Patient,PlanDefinition,Practitioner,PractitionerRole,Procedure,RelatedPerson Group,\
    Location,Medication,Organization,Patient,PlanDefinition,Practitioner,Procedure Group,Organization,Patient Group,\
    Organization,Practitioner,PractitionerRole Group,Patient Group,Patient,Practitioner Group,Patient,Practitioner,\
    RelatedPerson Group,Patient,Practitioner,RelatedPerson,ResearchSubject Group,Specimen HealthcareService \
    HealthcareService,Organization HealthcareService,Organization,Patient,Practitioner HealthcareService,Organization,\
    Practitioner ImagingStudy ImagingStudy,Immunization,MedicationAdministration,MedicationDispense,\
    MedicationStatement,Procedure Immunization Immunization,ImmunizationEvaluation ImplementationGuide Location \
    Location,Organization Location,Organization,Patient Location,Organization,Patient,RelatedPerson Location,\
    Organization,Practitioner,PractitionerRole Location,Organization,ResearchStudy Location,Patient,Practitioner,\
    PractitionerRole,RelatedPerson ManufacturedItemDefinition Measure Media Medication Medication,MedicinalProduct \
    Medication,MedicinalProduct,Substance Medication,Substance MedicationAdministration,MedicationDispense,\
    MedicationStatement,Observation,Procedure MedicationAdministration,Observation,Procedure MedicationRequest \
    MedicinalProduct MedicinalProduct,MedicinalProductPackaged MedicinalProductDefinition MessageHeader \
    MolecularSequence MolecularSequence,Observation,QuestionnaireResponse NamingSystem Observation Observation,\
    Procedure Observation,QuestionnaireResponse,Sequence ObservationDefinition OperationDefinition Organization \
    Organization,Patient Organization,Patient,Practitioner Organization,Patient,Practitioner,PractitionerRole,\
    RelatedPerson Organization,Patient,Practitioner,RelatedPerson Organization,Patient,RelatedPerson Organization,\
    Practitioner Organization,Practitioner,PractitionerRole Organization,Practitioner,PractitionerRole,RelatedPerson \
    Organization,PractitionerRole Patient Patient,Person,Practitioner,RelatedPerson Patient,Practitioner Patient,\
    Practitioner,PractitionerRole,RelatedPerson Patient,Practitioner,PractitionerRole,RelatedPerson,ResearchSubject \
    Patient,Practitioner,RelatedPerson Patient,RelatedPerson PlanDefinition PlanDefinition,Questionnaire Practitioner \
    Practitioner,PractitionerRole Practitioner,PractitionerRole,RelatedPerson Practitioner,RelatedPerson Procedure \
    ProcedureRequest ProcessRequest Questionnaire ReferralRequest RelatedPerson Requirements ResearchStudy Schedule \
    SearchParameter ServiceRequest Slot Specimen StructureDefinition Substance SubstanceDefinition Task TestScript \
    ValueSet
    """

  /// For each type: its name, and each parameter with the sets that it has in some versions: two digits to the
  /// base 36 for the set, one to the base 16 for the versions (1: 3.0, 2: 4.0, 4: 4.3, 8: 5.0).
  static let parameters = """
    Account guarantor:5p8 owner:5kf patient:5uf relatedaccount:018 subject:2z1,30e; ActivityDefinition \
    composed-of:00f depends-on:00f derived-from:00f predecessor:00f successor:00f; AdministrableProductDefinition \
    device:3mc form-of:5ac manufactured-item:4yc; AdverseEvent location:4rf patient:5u8 reaction:201 recorder:5x6,5y8,\
    5z1 resultingcondition:206 resultingeffect:298 study:6ef subject:381,4f6,4g8 substance:0t8,356,361; \
    AllergyIntolerance asserter:5x6,5z1 manifestation-reference:5f8 participant:1m8 patient:4d3,5uc recorder:5w1,5x6; \
    Appointment actor:1g8,316,321 based-on:138,6h6 group:488 incomingreferral:6b1 location:4rf patient:5uf \
    practitioner:63f reason-reference:26e service-type-reference:4i8 slot:6ie subject:4d8 supporting-info:00e; \
    AppointmentResponse actor:2j8,316,321 appointment:0gf group:488 location:4rf patient:5uf practitioner:63f; \
    AuditEvent agent:1m8,3b6,3c1 based-on:128 encounter:3y8 entity:00f patient:5uf source:1m8,3b6; Basic author:1m8,\
    5n6,5z1 patient:5uf subject:00f; BiologicallyDerivedProduct collector:648 request:6h8; \
    BiologicallyDerivedProductDispense patient:5u8 performer:638 product:0o8; BodySite patient:5u1; BodyStructure \
    patient:5ue; Bundle composition:004,1xb message:004,5bb; CapabilityStatement guide:4qe resource-profile:6kf \
    supported-profile:6kf; CarePlan activity-reference:0j8,0k1,0l6 based-on:0z7,178 care-team:1af condition:20f \
    context:3z1 custodian:1m8 definition:621 encounter:3yf goal:47f instantiates-canonical:08e part-of:0zf \
    patient:4d3,5uc performer:1l6,1q1 replaces:0zf subject:4df; CareTeam context:3z1 encounter:3y7 participant:1pe,\
    1q1 patient:4d3,5uc subject:4df; ChargeItem account:01f context:3z7 encounter:3y8 enterer:3be,3c1 \
    participant-actor:3c1 patient:5uf performer-actor:1l8,1m6 performing-organization:5kf requesting-organization:5kf \
    service:3q8,3r7 subject:4df; Claim care-team:5q1,5re detail-udi:2fe encounter:3yf enterer:5x8,631,646 \
    facility:4r7,4s8 insurer:5kf item-udi:2fe organization:5k1 patient:5uf payee:5ne,5o1 procedure-udi:2fe \
    provider:5re,631 subdetail-udi:2fe; ClaimResponse insurer:5kf patient:5uf request:1sf request-provider:631 \
    requestor:5re; ClinicalImpression action:0n1 assessor:631,646 context:3z1 encounter:3ye finding-ref:248,276,291 \
    investigation:3o6,3p1 patient:4d3,5uc performer:648 previous:1uf problem:0ef subject:4df supporting-info:00e; \
    ClinicalUseDefinition contraindication-reference:004,5i8 effect-reference:004,5i8 indication-reference:004,5i8 \
    product:5ac subject:038,064; CodeSystem derived-from:008 predecessor:008 supplements:1ve; Communication \
    based-on:00f context:3z1 definition:0a1 encounter:3yf instantiates-canonical:08e part-of:00f patient:5uf \
    recipient:1b8,1h6,2u1 sender:1d8,336,3c1 subject:4df; CommunicationRequest based-on:00f context:3z1 encounter:3yf \
    information-provider:2i8 patient:5uf recipient:1c8,1h6,1j1 replaces:1wf requester:3be,3c1 sender:336,3c1 \
    subject:4df; Composition attester:5m1,5ne author:3be,3i1 encounter:3yc,3z3 entry:00f event-reference:008 \
    patient:4d3,5uc related:008 related-ref:1x7 subject:00f; ConceptMap derived-from:008 other:1z6 other-map:1z8 \
    predecessor:008 source:6p7 source-group-system:1v8 source-scope:6p8 source-uri:6p7 target:6p7 \
    target-group-system:1v8 target-scope:6p8 target-uri:6p7; Condition asserter:5x6,5z1 context:3z1 encounter:3yf \
    evidence-detail:00f participant-actor:1m8 patient:4d3,5uc subject:4df; Consent actor:1ie,1j1 consentor:5n6,5o1 \
    controller:4k8 data:00f grantee:1o8 manager:4k8 organization:5k7 patient:4d3,5uc source:2b1 source-reference:2be \
    subject:4e8; Contract agent:2c1 authority:5kf domain:4rf patient:5uf signer:5ne,5o1 subject:00f term-topic:001; \
    Coverage beneficiary:5uf insurer:5k8 patient:5ue paymentby-party:5p8 payor:5p7 policy-holder:5pf subscriber:60f; \
    CoverageEligibilityRequest enterer:64e facility:4re patient:5ue provider:5re; CoverageEligibilityResponse \
    insurer:5ke patient:5ue request:2ee requestor:5re; DetectedIssue author:3h8,3j1,3k6 implicated:00f patient:4d3,\
    5uc subject:0p8; Device definition:3m8 location:4rf organization:5kf parent:2f8 patient:5u7; DeviceAssociation \
    device:2f8 operator:5z8 patient:5u8 subject:5u8; DeviceComponent parent:3l1 source:2f1; DeviceDefinition \
    manufacturer:5k8 organization:5k8 parent:3m6; DeviceDispense patient:5u8 subject:5w8; DeviceMetric device:2f8 \
    parent:2f6,3l1 source:2f7; DeviceRequest based-on:00f definition:0a1 device:2f7,2g8 encounter:3yc,3z3 \
    instantiates-canonical:0ae insurance:1te patient:4d3,5uc performer:1le,341 prior-request:006,3n8 priorrequest:001 \
    requester:3d1,3ee subject:2of; DeviceUsage patient:5u8; DeviceUseStatement device:2f7 patient:4d3,5u4 \
    subject:4d7; DiagnosticReport based-on:141,15e context:3z1 encounter:3yc,3z3 image:501 media:3s8,506 patient:4d3,\
    5uc performer:1re,5q1 result:5ff results-interpreter:1re specimen:6jf study:458 subject:0q8,2m4,2o3; \
    DocumentManifest author:3b6,3c1 content-ref:001 item:006 patient:4d3,5u4 recipient:5n6,5o1 related-ref:007 \
    subject:2w7; DocumentReference attester:5n8 authenticator:5q1,5r6 author:1m8,3b6,3c1 based-on:0h8 \
    bodysite-reference:0x8 context:0m8 custodian:5kf encounter:3y4,3z3 event-reference:008 format-canonical:028 \
    patient:4d3,5uc related:006 related-ref:001 relatesto:3sf subject:008,2w7; EligibilityRequest enterer:631 \
    facility:4r1 organization:5k1 patient:5u1 provider:631; EligibilityResponse insurer:5k1 request:3x1 \
    request-organization:5k1 request-provider:631; Encounter account:01e appointment:0gf based-on:138,6h6 \
    careteam:1a8 diagnosis:2a7 diagnosis-reference:208 episode-of-care:42e episodeofcare:421 incomingreferral:6b1 \
    location:4rf part-of:3yf participant:2k8,656,661 patient:4d3,5uc practitioner:63f reason-reference:228,266 \
    service-provider:5kf subject:4df; EncounterHistory encounter:3y8 patient:5u8 subject:4d8; Endpoint \
    organization:5kf; EnrollmentRequest organization:5k1 patient:5uf subject:5uf; EnrollmentResponse organization:5k1 \
    request:41f; EpisodeOfCare care-manager:63f condition:207 diagnosis-reference:208 incoming-referral:6he \
    incomingreferral:6b1 organization:5kf patient:4d3,5uc reason-reference:258; EventDefinition composed-of:00e \
    depends-on:00e derived-from:00e predecessor:00e successor:00e; Evidence composed-of:002 depends-on:002 \
    derived-from:002 predecessor:002 successor:002; EvidenceVariable composed-of:00a depends-on:00a derived-from:00a \
    predecessor:00a successor:00a; ExplanationOfBenefit care-team:5q1,5re claim:1sf coverage:2df detail-udi:2fe \
    encounter:3yf enterer:5x8,631,646 facility:4r7,4s8 item-udi:2fe organization:5k1 patient:5uf payee:5ne,5o1 \
    procedure-udi:2fe provider:5re,631 subdetail-udi:2fe; FamilyMemberHistory definition:621 \
    instantiates-canonical:08e patient:4d3,5uc; Flag author:391,3a6,3b8 encounter:3yc,3z3 patient:4d3,5uc subject:498,\
    4a7; GenomicStudy focus:008 patient:5u8 subject:0w8; Goal addresses:288 patient:4d3,5uc subject:4bf; Group \
    characteristic-reference:008 managing-entity:5se member:1f8,2s4,2t2,371; GuidanceResponse patient:5uf \
    subject:4df; HealthcareService coverage-area:4re endpoint:40f location:4rf offered-in:4i8 organization:5kf; \
    ImagingManifest author:3c1 endpoint:401 imaging-study:4m1 patient:4d1; ImagingSelection based-on:0i8 \
    body-structure:0x8 derived-from:3u8 patient:5u8 subject:2l8; ImagingStudy based-on:0i8 basedon:0i6,181 \
    body-structure:0x8 context:3z1 encounter:3ye endpoint:40f interpreter:646 patient:4d3,5uc performer:1l8,1m6,631 \
    referrer:64e subject:2ve; Immunization location:4rf manufacturer:5kf patient:4d3,5uc performer:5n8,5r6 \
    practitioner:631 reaction:5ff reason-reference:23e; ImmunizationEvaluation immunization-event:4oe patient:5ue; \
    ImmunizationRecommendation information:00e,0f1 patient:5uf support:4o1,4pe; ImplementationGuide depends-on:4qe \
    global:6ke resource:00f; Ingredient for:0dc manufacturer:004,5k8 substance:004,6m8 substance-definition:004,6m8; \
    InsurancePlan administered-by:5ke endpoint:40e owned-by:5ke; InventoryItem subject:5l8; InventoryReport \
    item-reference:0u8; Invoice account:01e issuer:5ke participant:3be patient:5ue recipient:5pe subject:4de; Library \
    composed-of:00f depends-on:00f derived-from:00f predecessor:00f successor:00f; Linkage author:5q1,5re item:00f \
    source:00f; List encounter:3yc,3z3 item:00f patient:4d3,5uc source:1m8,3f1,3g6 subject:008,2o7; Location \
    endpoint:40f organization:5kf partof:4rf; Measure composed-of:00f depends-on:00f derived-from:00f predecessor:00f \
    successor:00f; MeasureReport evaluated-resource:00e location:4r8 measure:4ze patient:5uf reporter:4c8,4v6 \
    subject:1e8,2p6; Media based-on:196,681 context:3z1 device:2h7 encounter:3y6 operator:1m6,631 patient:5u7 \
    subject:2q6,2x1; Medication ingredient:54f manufacturer:5k7 marketingauthorizationholder:5k8 package-item:511; \
    MedicationAdministration context:3z7 device:2ff encounter:3y8 medication:51f patient:4d2,5ud performer:3he,3i1 \
    prescription:571 reason-given:238 request:57e subject:4df; MedicationDispense context:3z7 destination:4rf \
    encounter:3y8 location:4r8 medication:51f patient:4d2,5ud performer:1m8,3b6,3c1 prescription:57f receiver:4x8,5w7 \
    responsibleparty:5r8,631,646 subject:4df; MedicationKnowledge ingredient:6le manufacturer:5k6 monograph:3s8,3w6; \
    MedicationRequest context:3z1 encounter:3ye intended-dispenser:5kf intended-performer:1m6,1n8 medication:51f \
    patient:4d2,5ud requester:3be,3c1 subject:4df; MedicationStatement context:3z7 encounter:3y8 medication:51f \
    part-of:557 patient:4d2,5ud source:5ne,5o1 subject:4df; MedicinalProductAuthorization holder:5k2 subject:592; \
    MedicinalProductContraindication subject:522; MedicinalProductDefinition contact:5tc master-file:3sc; \
    MedicinalProductIndication subject:522; MedicinalProductInteraction subject:532; MedicinalProductPackaged \
    subject:582; MedicinalProductUndesirableEffect subject:522; MessageDefinition parent:0ae; MessageHeader \
    author:3e8,631,646 enterer:631,646 focus:00f receiver:5q1,5re responsible:5q1,5re sender:3e8,5q1,5r6 target:2ff; \
    MolecularSequence focus:008 patient:5ue subject:0w8; NamingSystem derived-from:008 predecessor:008 \
    replaced-by:5e1; NutritionIntake encounter:3y8 patient:5u8 source:5n8 subject:4d8; NutritionOrder encounter:3yc,\
    3z3 instantiates-canonical:0a6 patient:4d3,5uc provider:631,64e subject:4d8; Observation based-on:101,11e \
    component-value-reference:5c8 context:3z1 derived-from:3t8,3v6 device:2hf encounter:3yc,3z3 focus:00e \
    has-member:5de part-of:468,4n6 patient:4d3,5uc performer:1pe,5o1 related-target:5h1 specimen:4h8,6j7 subject:0p8,\
    2m4,2o3 value-reference:5c8; OperationDefinition base:5jf input-profile:6ke output-profile:6ke param-profile:6k1; \
    Organization endpoint:40f partof:5kf; OrganizationAffiliation endpoint:40e location:4re network:5ke \
    participating-organization:5ke primary-organization:5ke service:4ie; PackagedProductDefinition biological:004,0v8 \
    contained-item:004,0v8 device:004,0v8 manufactured-item:004,0v8 medication:004,0v8 nutrition:004,0v8 package:004,\
    0v8 package-for:5ac; Patient general-practitioner:5q1,5re link:60f organization:5kf; PaymentNotice \
    organization:5k1 provider:5r6,631 reporter:5r8 request:00f response:00f; PaymentReconciliation \
    allocation-account:018 allocation-encounter:3y8 organization:5k1 payment-issuer:5k6,5p8 request:691,6ne \
    request-organization:5k1 request-provider:631 requestor:5re; Person link:5vf organization:5kf patient:5uf \
    practitioner:63f relatedperson:6cf; PlanDefinition composed-of:00f definition:098,0b6 depends-on:00f \
    derived-from:00f predecessor:00f successor:00f; PractitionerRole endpoint:40f location:4rf organization:5kf \
    practitioner:63f service:4if; Procedure based-on:181,19e context:3z1 definition:071 encounter:3yc,3z3 \
    instantiates-canonical:08e location:4rf part-of:56f patient:4d3,5uc performer:1l8,3b6,3c1 reason-reference:21e \
    report:1y8 subject:2n8,4d7; ProcedureRequest based-on:001 context:3z1 definition:0a1 encounter:3z1 patient:4d1 \
    performer:341 replaces:001 requester:3d1 specimen:6j1 subject:2o1; ProcessRequest organization:5k1 provider:631; \
    ProcessResponse organization:5k1 request:001 request-organization:5k1 request-provider:631; Provenance agent:1m8,\
    3b6,3c1 based-on:128 encounter:3y8 entity:00e entity-ref:001 location:4rf patient:5uf target:00f; \
    QuestionnaireResponse author:3be,3i1 based-on:181,19e context:3z1 encounter:3ye item-subject:008 parent:5g1 \
    part-of:5ge patient:5uf questionnaire:6af source:3b8,5x6,5z1 subject:00f; ReferralRequest based-on:181 \
    context:3z1 definition:0a1 encounter:3y1 patient:4d1 recipient:4l1 replaces:6b1 requester:3c1 subject:4d1; \
    RegulatedAuthorization holder:5kc subject:048,054; RelatedPerson patient:5uf; RequestGroup author:3j1,3k6 \
    context:3z1 definition:001 encounter:3y7 instantiates-canonical:006 participant:3h6,5v1 patient:5u7 subject:4d7; \
    RequestOrchestration author:3k8 based-on:008 encounter:3y8 instantiates-canonical:028 participant:0y8 patient:5u8 \
    subject:1e8; Requirements actor:0c8 derived-from:6d8; ResearchDefinition composed-of:006 depends-on:006 \
    derived-from:006 predecessor:006 successor:006; ResearchElementDefinition composed-of:006 depends-on:006 \
    derived-from:006 predecessor:006 successor:006; ResearchStudy eligibility:438 focus-reference:448 part-of:6e8 \
    partof:6e7 principalinvestigator:631,646 protocol:61f site:4r7,4w8 sponsor:5k7; ResearchSubject individual:5u7 \
    patient:5uf study:6ee subject:0s8; Resource _in:008 _profile:6k8; RiskAssessment condition:20f encounter:3yc,3z3 \
    patient:4d3,5uc performer:3h8,3j1,3k6 subject:4df; Schedule actor:1k8,317 service-type-reference:4i8; \
    SearchParameter component:6gf derived-from:6ge; Sequence patient:5u1; ServiceDefinition composed-of:001 \
    depends-on:001 derived-from:001 predecessor:001 successor:001; ServiceRequest based-on:16e body-structure:0x8 \
    code-reference:0a8 encounter:3yc,3z2 instantiates-canonical:0ae patient:4d2,5uc performer:1le replaces:6he \
    requester:3be specimen:6je subject:2oe; Slot schedule:6ff service-type-reference:4i8; Specimen bodysite:0x8 \
    collector:5x8,631,646 container-device:2f8 parent:6jf patient:5uf procedure:678 subject:0r8,2r6,2y1; \
    StructureDefinition base:6ke valueset:6pf; Subscription owner:1o8; Substance code-reference:6m8 \
    substance-reference:6lf; SupplyDelivery patient:4d3,5uc receiver:5r8,631,646 supplier:5q1,5re; SupplyRequest \
    patient:5u8 requester:1m8,3b6,3c1 subject:4t6,4u8 supplier:4je,5k1; Task actor:1p8 based-on:00f context:3z1 \
    encounter:3ye focus:00f organization:5k1 output:008 owner:1l6,1p8,3c1 part-of:6nf patient:5uf \
    requestedperformer-reference:1l8 requester:3be,3c1 subject:00f; TestPlan scope:008; TestReport testscript:6of; \
    TestScript scope-artifact:008; ValueSet derived-from:008 predecessor:008; VerificationResult \
    attestation-onbehalfof:5r8 attestation-who:5r8 primarysource-who:5r8 target:00e validator-organization:5k8; \
    VisionPrescription encounter:3yc,3z3 patient:4d3,5uc prescriber:631,64e
    """
}
