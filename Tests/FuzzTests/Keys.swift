/// Keys that protect nothing: those that RFC 7515 prints (appendix A), and some that were made for these seeds.

enum Keys {
  static let ecPublic =
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue6"
    + "59LNpXW6pCyStikYjKIWI5a0\"}"
  static let ecPrivate =
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue6"
    + "59LNpXW6pCyStikYjKIWI5a0\",\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\"}"
  static let rsaPublic =
    "{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPM"
    + "EzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5"
    + "rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-D"
    + "WNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\",\"e\":\"AQAB\"}"
  static let rsaPrivate =
    "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4q"
    + "PCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kp"
    + "aSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7a"
    + "GhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\",\"d\":\"Eq5xpGnNCivDflJsRQBXHx"
    + "1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoV"
    + "En2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2"
    + "QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjncz"
    + "T0QU91p1DhOVRuOopznQ\",\"p\":\"4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3K"
    + "hooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc\","
    + "\"q\":\"uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_Y"
    + "wD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc\",\"dp\":\"BwKfV3Akq5_MFZDF"
    + "ZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb3"
    + "4MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0\",\"dq\":\"h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZj"
    + "eeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS"
    + "1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU\",\"qi\":\"IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy"
    + "26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK"
    + "0JKSHuLFkuQ3U\"}"
  static let es256Token =
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19"
    + "yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU"
    + "1Q"
  static let rs256Token =
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19"
    + "yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt"
    + "_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb"
    + "1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI"
    + "8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
  static let sec1 = """
    -----BEGIN EC PRIVATE KEY-----
    MHcCAQEEIIL8Nis9bCn7FI7l4qYBIi1QtXyQI+N9yY5kJwxZwRjpoAoGCCqGSM49
    AwEHoUQDQgAEEOVZuli6snEI11aD2wZ3OyLjUYIeI4xcwQzjTQKOCNnkZALevzNm
    ocVbcJJcb+Dt+qRdrMkT8PkxDKkxswT6Ug==
    -----END EC PRIVATE KEY-----
    """
  static let pkcs8 = """
    -----BEGIN PRIVATE KEY-----
    MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDCzeZ2Ouy/3xRoMkS8X
    sclPqgqgpk5bTGNCUlVHoWo2GaOeDZOW4jgHNlZYIRFPvfShZANiAAR3taNkdipC
    5TX7pnZ9AGdYCvjLk360Y8iNgzJ7YMTWow6L5x1tB0G4gTD2hDFMkUFFw98atJbq
    ri6QK4cKydpKhfOVfLn26AUy7o8uLiV1pNbwYKrBX6zvF6gXuLbvn94=
    -----END PRIVATE KEY-----
    """
  static let pkcs1 = """
    -----BEGIN RSA PRIVATE KEY-----
    MIIEpAIBAAKCAQEArQOmEvr8+wFy6ZzOTWfDC4SFEB/zfCZDQ6hgWFRwFEzHNhkt
    u/NklEg37SafOpYPygTweUXu2bcUTfRNOLcjJ+PPdla2le0SXQIzJFehBCr8NZvX
    n6zLE8vZ+T2dCdnSW0FxdJ9pYvwgGY9TTXFtpOKyqO9iLxJCDFfMV6evaPniqZkP
    urKWYoxdquikBNMhU0KKd7pzRZZ9R70hncH9v/oN8v/6ma845yM1ERR7xPAPvLAR
    MnnVeiCsQQdwXAs8Q/UMPU0UJdAgmtoWUR1jOLpne3e/rFyEhz+PPMYOXVlprbIE
    hA7EpaSSbZQBZXZ38BYuAa24LNMBM9BKfiQ/QwIDAQABAoIBADFnwdRYtMYOn1xj
    iSvkbfeLg53bqeFxYbLf0YdXsVuyow5pOTybH8USLFo9tal6sY6MQ4k19aNZGuS5
    1xVTgqgA7zzJPUFp3d0OZEFD/rhceAHs+zFfG+yOwTNhq0blWyLw+K+HWAZKnfX+
    jhimw9saW09PcHelnJO+vJzpRvdQL0xIgUNiEX8NuK4VgpTbY9GZ53r5q4n2BK4w
    UtryKedOvcfCyCfJleae0Y+F5wN79D8jaOrZ5gH6injFlUjBZz9G0PVIdoyd9nvm
    +dYD15iO7wwpIlSw/WSgDkJwGga9pInVSQPodh+xIdRccOa39mvjbQH8Gd574UJy
    LwEVhRECgYEA6lMVb7lbc7HUmAnFtpI5UrMutciJmVi7nb++0uAHbDJpdGIpiMrm
    JJQSfrcpyJ26hku0BnpjWEStDih1h6beq1GsPrOJ2qlN/fmfzCRlmln6wpsR9V/w
    zjjLpfOVACP+gx4Qm9Fg/oxgDVtjs3i403hamMORHL2tMnfSuo5vHlECgYEAvQS1
    TO7LK9cNCc10XVT409gTwuOpjL7E08Alhny2DLUfijC2fbNuOCeHMwhjmmwzZlbT
    5H7pQrmUI/9pwLt8B2D2UhvrYBoLiPIJzqo+Mf1SP/FrP5RuQVxyhH9V/y+V9rdw
    gf68U/3E1mopuJme7H9sLSwYPthZ7A7jLPok+1MCgYB11hQ4m/D2bF4pmvh3SG9V
    PFBoEBHKMMogmTVgHFL/QRaw9VBHvykfCeuHF5sGjPMo59b/Tvq4f8i7DvOTpQHj
    C25gFa9ka7GR379RTJhfl5I33P2Z9IZHXl5i9OxgJrmtvCfEA/YP7A29idDIhxQD
    HEoK+oX1+xinAYTSViBhEQKBgQCmK5BzrO7igLGOr5egQYZrPufIirrQ6BlDiwWy
    YMrvCwBKTZ7xjR/VsDJ0k+h0prDdRHINy+Cnb1yj9PP0ox5bokuKTc80clE3uIkU
    raf17J01Z7kAcS4ouexXPVbN+/ibqBL5xYetU0iLs1MwXaVQhokEgWJjRXJwS3o+
    XT7LzwKBgQCgYZbBXmGjesC7QKLewbRx+h+b1D36LzTq1svdYFb6nmJJ+kVBtg+X
    dEemephM1LkFLTYVqZ5w9b4K4u0w0E4v/Xzu2McF9sFrIltI8Rmm9V3YtRFDLJiY
    yO3Rqd9AUpFDDVZRjbCcy4nLOphBCpAUlPAkFLDfzbKLZL1kj1Pp8w==
    -----END RSA PRIVATE KEY-----
    """
  static let ed25519 = """
    -----BEGIN PRIVATE KEY-----
    MC4CAQAwBQYDK2VwBCIEIBC+vGZ1LsHG2bX+rGHY3RnXs0B6+hi4+4hHxj+2JsHn
    -----END PRIVATE KEY-----
    """
}
