module kubitect.test/small

go 1.25.0
